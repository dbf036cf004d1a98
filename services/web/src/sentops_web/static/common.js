// What both scripts need: the words of the page's language, and ways to tell people something.

export const words = JSON.parse(document.querySelector("#words").textContent);

export function say(key, values = {}) {
  return words[key].replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}

// For screen readers; cleared first, so that the same sentence twice is read twice.
export function announce(sentence) {
  const place = document.querySelector("#announce");
  place.textContent = "";
  requestAnimationFrame(() => { place.textContent = sentence; });
}

export function showProblem(place, sentence, wait = 0) {
  const box = make("div", { className: "problem", role: "alert" },
    make("strong", { tabIndex: -1, textContent: words["problem.heading"] }),
    make("p", { textContent: sentence }));
  if (wait) box.dataset.wait = wait;
  place.replaceChildren(box);
  box.firstChild.focus();
}

// A refusal of the API in the page's language; a proxy's own error page gets the general sentence.
export async function problemOf(answer) {
  const seconds = Number(answer.headers.get("retry-after") ?? 0);
  try {
    return { ...(await answer.json()), seconds };
  } catch {
    return { seconds };
  }
}

export function sentenceOf(problem) {
  const key = `problem.${problem.code}`;
  if (key in words) return say(key, { seconds: problem.seconds });
  return problem.detail ?? words["problem.internal"];
}

export const problemSentence = async (answer) => sentenceOf(await problemOf(answer));

export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

// Numbers and dates as people of the page's language write them, in the manner of their own country if it speaks it.
const language = document.documentElement.lang;
export const locale = navigator.languages.find((one) => one.split("-")[0] === language) ?? language;
export const number = (value) => value.toLocaleString(locale);
