import { liveSocket, showState } from "../site/socket.js";

const MOST_MESSAGES = 500;
const SAME_BREATH = 3 * 60_000; // milliseconds within which messages of one person stand together

const find = (id) => document.getElementById(id);
const [messages, scroll, composer, input, notice, newer] =
  ["messages", "scroll", "composer", "text", "notice", "newer"].map(find);
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
let myName = find("name").value;
let unanswered = []; // what I said and have not seen come back
let last = { name: null, at: 0 };
let following = true, lastTop = 0; // whether the end of the messages stays in view

const chat = liveSocket(location.pathname + location.search, {
  onMessage(data) {
    const { error, name, text } = JSON.parse(data);
    if (error === undefined) show(name, text);
    else refuse(error);
  },
  onState(state) {
    showState(state);
    if (state === "waiting") giveBack();
  },
});

liveSocket(`${location.pathname}people/`, {
  onMessage: (data) => showPeople(JSON.parse(data).people),
});

// Everything that others wrote goes in as textContent: it can never become markup.

function element(tag, className, text = "") {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}

function avatar(name) {
  const letters = name.match(/(?<![\p{L}\p{N}])[\p{L}\p{N}]/gu) ?? ["·"]; // the first of each word
  const made = element("span", "avatar", letters.slice(0, 2).join("").toUpperCase());
  made.setAttribute("aria-hidden", "true");
  return made;
}

function hue(name) {
  let hash = 7;
  for (const letter of name) hash = (hash * 31 + letter.codePointAt(0)) % 100_003;
  return (hash * 137.5) % 360; // the golden angle: names that differ a little get colours that differ a lot
}

function show(name, text) {
  const place = !myName || myName === name ? unanswered.indexOf(text) : -1;
  const mine = place >= 0;
  if (mine) {
    unanswered.splice(place, 1);
    myName = name; // a guest learns the name that the server gave
    notice.hidden = true;
    markMe();
  }
  const now = new Date();
  const time = element("time", "", clock.format(now));
  time.dateTime = now.toISOString();
  const item = element("li", "message");
  item.style.setProperty("--hue", hue(name));
  item.classList.toggle("mine", mine);
  item.classList.toggle("follows", last.name === name && last.mine === mine && now - last.at < SAME_BREATH);
  item.append(avatar(name), element("span", "name", name), element("span", "bubble", text), time);
  last = { name, mine, at: now };
  messages.append(item);
  if (messages.children.length > MOST_MESSAGES) messages.firstElementChild.remove();
  find("empty").hidden = true;
  if (following || mine) toEnd();
  else newer.hidden = false;
}

function showPeople(names) {
  find("count").textContent = names.length === 1 ? "1 person" : `${names.length} people`;
  const list = find("people");
  const before = new Map([...list.children].map((item) => [item.dataset.name, item]));
  list.replaceChildren(...names.map((name) => before.get(name) ?? person(name)));
  markMe();
}

function markMe() {
  for (const item of find("people").children) item.classList.toggle("you", item.dataset.name === myName);
}

function person(name) {
  const item = element("li", "");
  item.dataset.name = name;
  item.title = name;
  item.style.setProperty("--hue", hue(name));
  item.append(avatar(name), element("span", "person", name));
  return item;
}

function toEnd() {
  following = true;
  scroll.scrollTo({ top: scroll.scrollHeight, behavior: document.hidden ? "instant" : "smooth" });
  newer.hidden = true;
}

function warn(text) {
  notice.textContent = text;
  notice.hidden = false;
}

function refuse(error) {
  warn(error);
  input.value ||= unanswered.shift() ?? "";
}

// What was under way when the connection broke may or may not have arrived; the writer decides.
function giveBack() {
  input.value ||= unanswered.join("\n");
  if (unanswered.length) warn("The connection broke. Your last message may not have arrived.");
  unanswered = [];
}

composer.addEventListener("submit", (event) => {
  event.preventDefault();
  const text = input.value.trim();
  if (!text) return;
  if (!chat.send(JSON.stringify({ text }))) {
    warn("You are offline. Your message stays here until you send it again.");
    return;
  }
  unanswered.push(text);
  input.value = "";
  input.focus();
});

input.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  composer.requestSubmit();
});

newer.addEventListener("click", toEnd);
// Only a reader scrolls up; the page itself scrolls down, smoothly, and may be far from the end while it does.
scroll.addEventListener("scroll", () => {
  const atEnd = scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 80;
  if (atEnd) following = true;
  else if (scroll.scrollTop < lastTop) following = false;
  if (atEnd) newer.hidden = true;
  lastTop = scroll.scrollTop;
});
