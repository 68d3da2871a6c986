import { KeyVal } from "../keyval/client.js";

const list = document.querySelector("ol");
const form = document.querySelector("form");
const status = document.querySelector("[role=status]");

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const body = JSON.stringify(Object.fromEntries(new FormData(form)));
  const answer = await fetch("api/messages", { method: "POST", body });
  status.textContent = answer.ok ? "" : (await answer.json()).error;
  if (answer.ok) form.elements.text.value = "";
});

for await (const changes of new KeyVal().watch({ prefix: ["chat"] })) {
  if (changes.length === 0) list.replaceChildren(); // some were lost: all that is there follows
  for (const { value } of changes) {
    if (value === null || value === undefined) continue; // it has expired
    const item = document.createElement("li");
    item.textContent = `${value.who}: ${value.text}`;
    list.append(item);
  }
}
