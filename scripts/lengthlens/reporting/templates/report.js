// A link to a folded section opens it; a map that was folded learns its width.
function reveal() {
  const target = document.getElementById(location.hash.slice(1));
  target?.querySelector(":scope > details")?.setAttribute("open", "");
  for (let box = target; box; box = box.parentElement) if (box.localName === "details") box.open = true;
  target?.scrollIntoView();
}
addEventListener("hashchange", reveal);
if (location.hash) reveal();
for (const fold of document.querySelectorAll(".fold")) {
  fold.addEventListener("toggle", () => dispatchEvent(new Event("resize")));
}

// On paper the findings of every language are open; what was opened for it is folded again.
let unfolded = [];
addEventListener("beforeprint", () => {
  unfolded = [...document.querySelectorAll(".answered details:not([open])")];
  for (const each of unfolded) each.open = true;
});
addEventListener("afterprint", () => {
  for (const each of unfolded) each.open = false;
});

// What pushed at a token: one panel, filled when a token is pressed; arrow keys go along the answer.
const panel = document.getElementById("step");
const at = (name) => document.getElementById(`step-${name}`);

const size = (share) => Math.abs(Number(share.replace("−", "-")));

function row([component, share], largest) {
  const line = document.createElement("tr");
  const name = document.createElement("th");
  name.scope = "row";
  name.textContent = component;
  const value = line.insertCell();
  value.className = "right";
  value.textContent = share;
  const bar = document.createElement("i");
  bar.style.width = `${Math.round((100 * size(share)) / largest)}%`;
  line.insertCell().append(bar);
  line.prepend(name);
  return line;
}

// The order is that of Token.told (tokens.py).
function tell(button) {
  const [step, words, n, sign, decision, margin, leaning, ender, word, rest, end, on]
    = JSON.parse(button.dataset.step);
  const largest = Math.max(...[...end, ...on].map(([, share]) => size(share))) || 1;
  at("token").textContent = button.textContent;
  at("place").textContent = `step ${step}, ${words} of ${n} words with it; `
    + `adherence sign ${sign}${decision ? "; the decision" : ""}.`;
  // Isolated, so that right-to-left tokens do not turn the sentence around them.
  const [end_token, word_token] = [ender, word].map((token) => `“\u2068${token}\u2069”`);
  at("margin").textContent = `End margin ${margin} logits, leaning ${leaning}: `
    + `${end_token} against ${word_token}.`;
  at("to-end").replaceChildren(...end.map((push) => row(push, largest)));
  at("to-go-on").replaceChildren(...on.map((push) => row(push, largest)));
  at("rest").textContent = `All other components together: ${rest}.`;
  document.querySelector(".tokens .told")?.classList.remove("told");
  button.classList.add("told");
}

for (const answer of document.querySelectorAll(".tokens")) {
  const steps = [...answer.querySelectorAll("button")];
  for (const step of steps) {
    step.popoverTargetElement = panel;
    step.popoverTargetAction = "show";
  }
  answer.addEventListener("click", ({ target }) => {
    if (steps.includes(target)) tell(target);
  });
  answer.addEventListener("keydown", (event) => {
    const onward = getComputedStyle(answer).direction === "rtl" ? -1 : 1;
    const way = { ArrowRight: onward, ArrowLeft: -onward }[event.key];
    const next = steps[steps.indexOf(event.target) + way];
    if (!way || !next) return;
    event.preventDefault();
    next.focus();
    if (panel.matches(":popover-open")) tell(next);
  });
}
panel?.addEventListener("toggle", ({ newState }) => {
  if (newState === "closed") document.querySelector(".tokens .told")?.classList.remove("told");
});
