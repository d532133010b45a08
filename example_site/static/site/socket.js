/**
 * A WebSocket that comes back by itself, after a random time that grows from 0.5 s to 10 s at most.
 *
 * @param {string} path of the socket on this site, with its query
 * @param {(data: string | ArrayBuffer) => void} onMessage gets what the server sends
 * @param {(state: "connecting" | "open" | "waiting") => void} onState gets each change of state
 * @returns {{send: (data: string | ArrayBuffer) => boolean}} send tells whether the socket was open to take the data
 */
export function liveSocket(path, { onMessage, onState = () => {} }) {
  const FIRST = 500, LONGEST = 10_000, CONNECT_WITHIN = 10_000, STEADY = 5_000; // milliseconds
  const url = new URL(path, location.href);
  url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  let socket, timer, openedAt, failures = 0;

  function open() {
    drop();
    openedAt = Infinity;
    timer = setTimeout(lost, CONNECT_WITHIN);
    socket = new WebSocket(url);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      clearTimeout(timer);
      openedAt = performance.now();
      onState("open");
    };
    socket.onmessage = (event) => onMessage(event.data);
    socket.onclose = lost;
    onState("connecting");
  }

  function drop() {
    clearTimeout(timer);
    if (!socket) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
    socket = null;
  }

  function lost() {
    // A server that accepts and closes at once counts as failing still.
    if (performance.now() - openedAt > STEADY) failures = 0;
    drop();
    onState("waiting");
    // Any time up to the bound ("full jitter"), so that a thousand pages don't come back in the same moment.
    timer = setTimeout(open, Math.random() * Math.min(LONGEST, FIRST * 2 ** failures++));
  }

  // On another network the old connection is dead, though the browser may not know it for minutes.
  addEventListener("online", open);
  document.addEventListener("visibilitychange", () => {
    if (!socket && document.visibilityState === "visible") open();
  });

  open();
  return {
    send(data) {
      if (socket?.readyState !== WebSocket.OPEN) return false;
      socket.send(data);
      return true;
    },
  };
}

const LABELS = { connecting: "Connecting…", open: "Connected", waiting: "Offline, trying again…" };

/** Shows the state of a socket in the element that `pill.html` makes. */
export function showState(state) {
  const pill = document.querySelector("#connection");
  // A first try that follows a failure is still "offline" to the reader: no flicker between the two.
  if (state === "connecting" && pill.dataset.state === "waiting") return;
  pill.dataset.state = state;
  pill.querySelector(".pill-label").textContent = LABELS[state];
}
