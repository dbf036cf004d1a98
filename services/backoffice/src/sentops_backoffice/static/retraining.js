// Fields of a trigger that is off, or of a base model that is not chosen, step aside and are not sent.
const form = document.getElementById("policy");
const show = (part, needed) => {
  part.hidden = !needed;
  part.querySelectorAll("input, select").forEach((one) => (one.disabled = !needed));
};

const arrange = () => {
  for (const part of form.querySelectorAll("[data-on]")) show(part, form.elements[part.dataset.on].checked);
  for (const part of form.querySelectorAll("[data-needs]")) {
    const [name, value] = part.dataset.needs.split("=");
    show(part, form.elements[name].value === value);
  }
};
form.addEventListener("change", arrange);
addEventListener("pageshow", arrange); // a browser that goes back fills in what stood there
arrange();
form.querySelector('[aria-invalid="true"]:not(:disabled)')?.focus();
