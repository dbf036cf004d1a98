// Fields that the chosen method, base or takeover cannot use step aside; what stood in them is not sent. Without this they are refused.
const form = document.getElementById("train");
const parts = [...form.querySelectorAll("[data-needs]")];

const arrange = () => {
  for (const part of parts) {
    const [name, value] = part.dataset.needs.split("=");
    const needed = form.elements[name].value === value;
    part.hidden = !needed;
    part.querySelectorAll("input").forEach((one) => (one.disabled = !needed));
  }
};
form.addEventListener("change", arrange);
addEventListener("pageshow", arrange); // a browser that goes back fills in what stood there
arrange();
form.querySelector('[aria-invalid="true"]:not(:disabled)')?.focus();
