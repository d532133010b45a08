import { liveSocket, showState } from "../site/socket.js";

const MOST_LINES = 30, MOST_POINTS = 60, PAUSE = 200; // milliseconds
const find = (id) => document.getElementById(id);
const repeat = find("repeat");
let waiting = []; // when each frame that has not come back was sent
let times = [];
let count = 0;

const socket = liveSocket("/echo/", {
  onMessage(data) {
    const took = performance.now() - waiting.shift();
    count += 1;
    times = [...times, took].slice(-MOST_POINTS);
    showFigures(took);
    showLine(data, took);
  },
  onState(state) {
    showState(state);
    waiting = [];
  },
});

function send() {
  const text = find("text").value;
  const now = performance.now();
  if (text && socket.send(find("as-bytes").checked ? new TextEncoder().encode(text) : text)) waiting.push(now);
}

const ms = (time) => `${time.toFixed(1)} ms`;

function showFigures(took) {
  const sorted = times.toSorted((a, b) => a - b);
  find("last").textContent = ms(took);
  find("median").textContent = ms(sorted[sorted.length >> 1]);
  find("best").textContent = ms(sorted[0]);
  find("count").textContent = count;
  const top = sorted.at(-1), step = 600 / (MOST_POINTS - 1);
  const points = times.map((time, index) => `${600 - (times.length - 1 - index) * step},${74 - (time / top) * 66}`);
  const left = 600 - (times.length - 1) * step;
  find("chart").firstElementChild.setAttribute("points", [`${left},90`, ...points, "610,90"].join(" "));
}

function showLine(data, took) {
  const bytes = data instanceof ArrayBuffer;
  const item = document.createElement("li");
  const parts = { what: bytes ? new TextDecoder().decode(data) : data, kind: bytes ? "bytes" : "text", took: ms(took) };
  for (const [className, text] of Object.entries(parts)) {
    const span = document.createElement("span");
    span.className = className;
    span.textContent = text;
    item.append(span);
  }
  find("echoes").prepend(item);
  while (find("echoes").children.length > MOST_LINES) find("echoes").lastElementChild.remove();
}

find("sender").addEventListener("submit", (event) => {
  event.preventDefault();
  send();
});
setInterval(() => {
  if (repeat.checked && waiting.length < 5) send();
}, PAUSE);
