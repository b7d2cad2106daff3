// What pushed at a token: one panel, filled when a token is pressed; arrow keys go along the answer.
const panel = document.getElementById("step");
const at = (name) => document.getElementById(`step-${name}`);

function row([component, share, size]) {
  const line = document.createElement("tr");
  const name = document.createElement("th");
  name.scope = "row";
  name.textContent = component;
  const value = line.insertCell();
  value.className = "right";
  value.textContent = share;
  const bar = document.createElement("i");
  bar.style.width = `${size}%`;
  line.insertCell().append(bar);
  line.prepend(name);
  return line;
}

function tell(button) {
  const step = JSON.parse(button.dataset.step);
  at("token").textContent = step.token;
  at("place").textContent = `step ${step.step}, ${step.words} of ${step.n} words with it; `
    + `adherence sign ${step.sign}${step.decision ? "; the decision" : ""}.`;
  at("margin").textContent = `End margin ${step.margin} logits, leaning ${step.leaning}: `
    + `“${step.ender}” against “${step.word}”.`;
  at("to-end").replaceChildren(...step.end.map(row));
  at("to-go-on").replaceChildren(...step.on.map(row));
  at("rest").textContent = `All other components together: ${step.rest}.`;
  document.querySelector(".tokens .told")?.classList.remove("told");
  button.classList.add("told");
}

for (const answer of document.querySelectorAll(".tokens")) {
  const steps = [...answer.querySelectorAll("button")];
  answer.addEventListener("click", ({ target }) => {
    if (steps.includes(target)) tell(target);
  });
  answer.addEventListener("keydown", (event) => {
    const way = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const next = steps[steps.indexOf(event.target) + way];
    if (!way || !next) return;
    event.preventDefault();
    next.focus();
    if (panel.matches(":popover-open")) tell(next);
  });
}
panel.addEventListener("toggle", ({ newState }) => {
  if (newState === "closed") document.querySelector(".tokens .told")?.classList.remove("told");
});
