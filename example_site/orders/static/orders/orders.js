// Retries and deaths are rows of the database, which no message tells of: ask once a second.
const lines = document.getElementById("lines");

async function look() {
  try {
    const answer = await fetch(lines.dataset.url);
    const text = answer.ok ? await answer.text() : "";
    // not while somebody is on a button of the old list
    if (text && text !== look.shown && !lines.contains(document.activeElement)) {
      lines.innerHTML = look.shown = text;
    }
  } catch {
    // the site is away; the next time may be better
  }
  setTimeout(look, 1000);
}

setTimeout(look, 1000);
