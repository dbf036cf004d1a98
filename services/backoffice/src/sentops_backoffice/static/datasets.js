// The upload form: without this script the browser sends the file by itself, only without showing how far it is.

const form = document.querySelector("form[data-upload]");
const REMEMBERED = "sentops.upload";

if (form) {
  const said = form.querySelector("[data-said]");
  const moving = form.querySelector("[data-moving]");
  const bar = moving.querySelector("progress");
  const stop = form.querySelector("[data-stop]");
  const send = form.querySelector("button:not([type])");
  const texts = form.dataset;

  const say = (text, kind = "") => {
    if (said.textContent !== text) said.textContent = text;
    said.className = kind && `note ${kind}`;
  };
  const stay = (event) => event.preventDefault(); // the browser asks before it leaves
  let leaving = false;
  addEventListener("pagehide", () => (leaving = true));
  const ended = () => {
    if (leaving) return; // cut off with the page: the next one says so
    removeEventListener("beforeunload", stay);
    sessionStorage.removeItem(REMEMBERED);
    moving.hidden = stop.hidden = true;
    send.disabled = false;
  };

  const left = sessionStorage.getItem(REMEMBERED);
  if (left) {
    sessionStorage.removeItem(REMEMBERED);
    say(texts.interrupted.replace("{name}", left), "warn");
  }

  form.addEventListener("submit", (event) => {
    const file = form.elements.namedItem("file").files[0];
    if (!file) return;
    event.preventDefault();
    if (file.size > Number(texts.most)) return say(texts.tooLarge, "bad");
    const request = new XMLHttpRequest();
    request.open("POST", form.action);
    request.responseType = "document";
    request.upload.onprogress = ({ loaded, total }) => {
      bar.value = (100 * loaded) / total;
      // Every tenth is said aloud; more would only chatter.
      say(loaded < total ? texts.sent.replace("{percent}", Math.floor((10 * loaded) / total) * 10) : texts.read);
    };
    request.onload = () => {
      ended();
      if (request.status === 200) return location.assign(request.responseURL);
      say(request.response?.querySelector("[role=alert]")?.textContent || texts.lost, "bad");
    };
    request.onerror = () => (ended(), say(texts.lost, "bad"));
    request.onabort = () => (ended(), say(texts.stopped, "warn"));
    stop.onclick = () => request.abort();
    addEventListener("beforeunload", stay);
    sessionStorage.setItem(REMEMBERED, file.name);
    send.disabled = true;
    bar.value = 0;
    moving.hidden = stop.hidden = false;
    request.send(new FormData(form));
  });
}
