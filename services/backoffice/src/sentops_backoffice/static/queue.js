// Keys of the labelling queue: each presses the button that shows it. Without this file the buttons do all.

const REMEMBERED = "sentops.queue.keys";
const switcher = document.querySelector("[data-keys-switch]");
const help = document.querySelector("[data-help]");
let on = localStorage.getItem(REMEMBERED) !== "off";
// The keys stand on the buttons only while they work.
const showKeys = () => (document.documentElement.dataset.keys = on ? "on" : "off");
let sent = false; // a second key must not answer for a text that nobody has seen yet

if (switcher) {
  const box = switcher.querySelector("input");
  switcher.hidden = false;
  box.checked = on;
  box.addEventListener("change", () => {
    on = box.checked;
    localStorage.setItem(REMEMBERED, on ? "on" : "off");
    showKeys();
  });
}

addEventListener("submit", () => (sent = true));
addEventListener("pageshow", () => (sent = false));

addEventListener("keydown", (event) => {
  if (!on || sent || event.defaultPrevented || event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest?.("input:not([type=checkbox]), textarea, select")) return;
  if (event.key === "?" && help) {
    event.preventDefault();
    help.open = !help.open;
    help.querySelector("summary").focus();
    return;
  }
  const button = document.querySelector(`[data-key="${CSS.escape(event.key)}"], [data-key="${CSS.escape(event.key.toLowerCase())}"]`);
  if (!button) return;
  event.preventDefault();
  button.click();
});
showKeys();
