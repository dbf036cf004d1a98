// The page on which people ask: comfort for hands, the history, live progress of a training.

import { announce, number, words } from "./common.js";
import { prepare } from "./parts.js";
import "./many.js";

// Not waited for: the next question may be asked as soon as the answer is there.
document.addEventListener("answered", (event) => {
  if (event.target.id !== "why") refreshHistory();
});

let refreshes = 0;

async function refreshHistory() {
  const place = document.querySelector("#history");
  const mine = ++refreshes;
  try {
    const answer = await fetch(place.dataset.refresh);
    const html = await answer.text();
    if (!answer.ok || mine !== refreshes) return; // a newer one is on its way
    place.innerHTML = html;
    prepare(place);
  } catch {
    // The answer itself was shown; the history follows with the next one.
  }
}

// The text box: a counter near its end, Ctrl+Enter, examples.
const text = document.querySelector("#text");
const counter = document.querySelector("#counter");
text.addEventListener("input", () => {
  const most = Number(counter.dataset.most);
  counter.hidden = text.value.length < most * 0.8;
  counter.textContent = `${number(text.value.length)} / ${number(most)}`;
});
text.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) text.form.requestSubmit();
});
for (const example of document.querySelectorAll("[data-example]")) {
  example.addEventListener("click", () => {
    text.value = example.textContent;
    text.form.requestSubmit();
  });
}

// Training progress: often while something is being trained, rarely otherwise.
const training = document.querySelector("#training");
let shown = "";
const isReady = () => training.querySelector("[data-ready]")?.dataset.ready === "yes";

async function watchTraining() {
  const before = isReady();
  try {
    const answer = await fetch(training.dataset.poll);
    if (answer.ok) {
      const html = await answer.text();
      if (html !== shown) training.innerHTML = shown = html;
    }
  } catch {
    // The next round tries again; asking tells people if the service is away.
  }
  if (!before && isReady()) announce(words["js.model_ready"]);
  plan();
}
function plan() {
  const soon = training.querySelector("[data-soon]") && !document.hidden;
  setTimeout(watchTraining, soon ? 2000 : 15000);
}
plan();
