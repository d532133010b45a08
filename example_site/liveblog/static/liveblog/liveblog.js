import { liveSocket, showState } from "../site/socket.js";

const list = document.querySelector("#posts");
const template = document.querySelector("#post");
const clock = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

liveSocket("/liveblog/", {
  onState: showState,
  onMessage(data) {
    const { posts, post, removed } = JSON.parse(data);
    if (posts) list.replaceChildren(...posts.map((each) => fill(find(each.id) ?? blank(), each)));
    if (post) put(post);
    if (removed) find(removed)?.remove();
    document.querySelector("#empty").hidden = list.children.length > 0;
  },
});

const find = (id) => list.querySelector(`[data-id="${Number(id)}"]`);
const blank = () => template.content.firstElementChild.cloneNode(true);

// A post that changed gets its new text in place; a new one goes before the first that is older.
function put(post) {
  const item = find(post.id) ?? blank();
  if (item.dataset.changed > post.changed) return; // two saves at once may overtake each other on the way
  fill(item, post);
  item.classList.add("fresh");
  if (!item.isConnected) {
    const older = [...list.children].find((each) => Number(each.dataset.id) < post.id);
    list.insertBefore(item, older ?? null);
  }
}

function fill(item, post) {
  item.dataset.id = post.id;
  item.dataset.changed = post.changed;
  item.querySelector("time").dateTime = post.created;
  item.querySelector("h2").textContent = post.title;
  item.querySelector(".body").textContent = post.body;
  tell(item);
  return item;
}

// The server wrote its own time; the reader's clock is nicer.
function tell(item) {
  const time = item.querySelector("time");
  time.textContent = clock.format(new Date(time.dateTime));
}

for (const item of list.children) tell(item);
