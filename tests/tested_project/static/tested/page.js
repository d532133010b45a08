const socket = new WebSocket(`ws://${location.host}/double/`);
socket.onopen = () => socket.send(JSON.stringify({ number: 21 }));
socket.onmessage = (event) => {
  document.title = event.data;
};
