// Many texts: send lines or a file, show progress while the table comes back, offer it for download.

import { announce, make, number, problemOf, say, sentenceOf, showProblem, words } from "./common.js";
import { CsvReader } from "./csv.js";
import { waits } from "./parts.js";

const SHOWN = 20;
const form = document.querySelector("#many");
const result = document.querySelector("#many-result");
const file = form.elements.file;
const columns = document.querySelector("#columns");
const column = form.elements.column;
let stop = null;
let address = null;

form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (stop) return;
  if (!file.files.length && !form.elements.lines.value.trim()) {
    showProblem(result, words["js.many.nothing"]);
    return;
  }
  read();
});
// A file comes by the button (mouse, finger or keyboard), by dropping it anywhere on the page, or by pasting it.
const drop = document.querySelector("#drop");
const chosen = document.querySelector("#chosen");
file.addEventListener("change", told);
document.querySelector("#forget").addEventListener("click", () => {
  file.value = "";
  told();
  file.focus();
});
for (const name of ["dragenter", "dragover", "drop"]) {
  document.addEventListener(name, (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return; // text is dropped into boxes as ever
    event.preventDefault();
    drop.classList.toggle("over", name !== "drop");
    if (name === "drop") take(event.dataTransfer.files);
  });
}
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) drop.classList.remove("over"); // left the window
});
form.elements.lines.addEventListener("paste", (event) => {
  if (!event.clipboardData?.files.length) return;
  event.preventDefault();
  take(event.clipboardData.files);
});

function take(files) {
  if (!files.length) return;
  const one = new DataTransfer();
  one.items.add(files[0]);
  file.files = one.files;
  told();
  form.querySelector("[type=submit]").focus();
}

function told() {
  columns.hidden = true;
  column.disabled = true;
  chosen.hidden = !file.files.length;
  if (chosen.hidden) return;
  const sentence = say("js.many.chosen", { name: file.files[0].name });
  chosen.querySelector("span").textContent = sentence;
  announce(sentence);
}

async function read() {
  stop = new AbortController();
  const body = new FormData(form);
  if (!file.files.length) body.delete("file");
  else body.delete("lines");
  const view = progressView();
  result.replaceChildren(view.box);
  announce(words["js.working"]);
  const pieces = [];
  const rows = [];
  let at = {};
  try {
    const answer = await fetch(form.dataset.api, { method: "POST", body, signal: stop.signal });
    if (!answer.ok) {
      await refused(answer);
      return;
    }
    const total = Number(answer.headers.get("x-total-rows"));
    view.show(0, total);
    at = { text: Number(answer.headers.get("x-text-column")), answer: Number(answer.headers.get("x-answer-column")) };
    await eachPiece(answer, pieces, rows, () => view.show(Math.max(rows.length - 1, 0), total));
    finish(pieces, rows, at, say("js.many.done", { total: number(total) }));
  } catch (error) {
    if (error.name === "AbortError") {
      finish(pieces, rows, at, say("js.many.stopped", { done: number(Math.max(rows.length - 1, 0)) }));
    } else showProblem(result, words["js.offline"]);
  } finally {
    stop = null;
  }
}

async function eachPiece(answer, pieces, rows, after) {
  const csv = new CsvReader();
  const decoder = new TextDecoder();
  const reader = answer.body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    pieces.push(value);
    for (const row of csv.push(decoder.decode(value, { stream: true }))) rows.push(row);
    after();
  }
}

async function refused(answer) {
  const problem = await problemOf(answer);
  showProblem(result, sentenceOf(problem), problem.code === "rate_limited" ? problem.seconds : 0);
  waits(result);
  if (problem.columns) {
    column.replaceChildren(...problem.columns.map((name) => make("option", { textContent: name, value: name })));
    column.disabled = false;
    columns.hidden = false;
    column.focus();
  }
}

function progressView() {
  const text = make("p", { textContent: words["js.working"] });
  const bar = make("progress", { ariaLabel: words["js.working"] });
  const cancel = make("button", { type: "button", textContent: words["js.many.cancel"] });
  cancel.addEventListener("click", () => stop?.abort());
  return {
    box: make("div", {}, text, bar, make("div", { className: "row" }, cancel)),
    show(done, total) {
      bar.max = total;
      bar.value = done;
      text.textContent = say("js.many.working", { done: number(done), total: number(total) });
    },
  };
}

function finish(pieces, rows, at, sentence) {
  result.dispatchEvent(new Event("answered", { bubbles: true }));
  if (rows.length < 2) {
    result.replaceChildren(make("p", { textContent: sentence }));
    return;
  }
  const failed = rows.slice(1).filter((row) => row.at(-1)).length;
  if (failed) sentence += ` ${say("js.many.failed", { count: number(failed) })}`;
  if (address) URL.revokeObjectURL(address);
  address = URL.createObjectURL(new Blob(pieces, { type: "text/csv" }));
  const download = make("a", {
    className: "button primary", href: address, download: "sentops.csv", textContent: words["js.many.download"],
  });
  result.replaceChildren(
    make("p", { textContent: sentence }),
    make("div", {}, download),
    preview(rows, at),
  );
  announce(sentence);
  download.focus();
}

function preview(rows, at) {
  const line = (tag, cells) => make("tr", {}, ...cells.map((cell) => make(tag, { textContent: cell })));
  const body = rows.slice(1, SHOWN + 1).map((row) => line("td", [
    shorten(row[at.text] ?? ""),
    row[at.answer] ? words[`label.${row[at.answer]}`] ?? row[at.answer] : "—",
    row[at.answer + 1] ? `${Math.floor(Number(row[at.answer + 1]) * 100)}%` : "",
  ]));
  return make("div", { className: "table-frame", tabIndex: 0 }, make("table", {},
    make("caption", { textContent: words["js.many.preview"] }),
    make("thead", {}, line("th", [words["js.many.text"], words["js.many.answer"], words["js.many.sure"]])),
    make("tbody", {}, ...body)));
}

function shorten(text) {
  return text.length > 120 ? `${text.slice(0, 119)}…` : text;
}
