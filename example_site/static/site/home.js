import { liveSocket } from "./socket.js";

const EVERY = 2_500; // milliseconds
const output = document.querySelector("#round-trip");
const way = document.querySelector("#way");
let sentAt = null;

const socket = liveSocket("/echo/", {
  onMessage() {
    if (sentAt === null) return;
    output.textContent = `${(performance.now() - sentAt).toFixed(1)} ms`;
    sentAt = null;
    way.classList.add("running");
  },
  onState(state) {
    sentAt = null;
    if (state === "open") measure();
    else output.textContent = "–";
  },
});

function measure() {
  if (sentAt !== null || document.visibilityState !== "visible") return;
  const now = performance.now();
  if (socket.send("there and back")) sentAt = now;
}

way.addEventListener("animationend", () => way.classList.remove("running"));
setInterval(measure, EVERY);
