"use strict";
(() => {
  const kinds = {
    "set-password": { title: "Choose your password", lead: "Your account is ready.", post: "/v1/auth/password/set", done: "Your password is set. You can sign in now.", renew: "Ask the administrator who sent it for a new one." },
    "reset-password": { title: "Choose a new password", lead: "Your other sessions will end. A second factor, if you have one, is still asked for.", post: "/v1/auth/password/reset", done: "Your password is changed. You can sign in now.", renew: "Ask for a new one where you sign in, with “forgot password”." },
    "accept-invitation": { title: "Accept the invitation", lead: "Choose a password to join.", post: "/v1/auth/invitations/accept", fields: ["name"], done: "Welcome. You can sign in now.", renew: "Ask whoever invited you for a new one." },
    "setup": { title: "Make the first operator", lead: "This account can manage every organization of this installation.", post: "/v1/setup", fields: ["email", "name"], done: "The operator is made and can sign in now.", renew: "While there is no operator, the server prints one at each start." },
  };
  const $ = (id) => document.getElementById(id);
  const page = location.pathname.slice(1);
  const kind = kinds[page];
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  let link;
  history.replaceState(null, "", location.pathname); // the secret does not stay in the address bar or the history
  addEventListener("hashchange", () => location.reload()); // another link was opened in this tab

  const say = (title, lead) => {
    document.title = title + " · Gatehouse";
    $("title").textContent = title;
    $("lead").textContent = lead;
  };

  const send = async (path, body) => {
    try {
      const answer = await fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body), credentials: "omit" });
      return { status: answer.status, body: await answer.json() };
    } catch {
      return { status: 0, body: { detail: "The server cannot be reached." } };
    }
  };

  // end leaves nothing to fill in, and says where to go on.
  const end = (title, lead, applications) => {
    say(title, lead);
    $("form").remove();
    $("for").hidden = !link;
    for (const to of applications.length ? applications : ["/start"]) {
      const a = document.createElement("a");
      a.href = to;
      a.textContent = to === "/start" ? "Where to sign in" : "Go on to " + new URL(to).host;
      $("next").appendChild(document.createElement("li")).append(a);
    }
    $("next").hidden = false;
    $("title").focus();
  };

  const refused = (answer) => {
    if (answer.status === 401) end("This link does not work", "It was used already, is too old, or is not complete. " + kind.renew, []);
    else end("This link does not work", answer.body.detail, []);
  };

  const look = async () => {
    $("again").hidden = true;
    const answer = await send("/v1/auth/links/inspect", { page, token });
    if (answer.status === 0 || answer.status === 429 || answer.status >= 500) {
      say("One moment, please", answer.body.detail + " The link has not been used.");
      $("again").hidden = false;
      return;
    }
    if (answer.status !== 200) return refused(answer);
    link = answer.body;
    say(kind.title, kind.lead + " This link works once.");
    $("organization").textContent = link.organization;
    $("account").textContent = link.email || "a new one";
    $("for").hidden = false;
    $("email").value = link.email; // also where it is not asked for: password managers keep it with the password
    $("name").value = link.name;
    $("password-hint").textContent = "At least " + link.passwordMinLength + " characters. A sentence is easier to remember than a riddle.";
    for (const field of kind.fields || []) $(field).parentElement.hidden = false;
    $("form").hidden = false;
    $("form").querySelector(".field:not([hidden]) input").focus();
  };

  // fault ties what is wrong to its field; without one it is said above the button.
  const fault = (field, text) => {
    const input = field && $("form").elements[field];
    $(input ? field + "-error" : "error").textContent = text;
    if (!input) return;
    input.setAttribute("aria-invalid", "true");
    input.focus();
  };

  const clear = () => {
    for (const p of document.querySelectorAll(".error")) p.textContent = "";
    for (const input of $("form").elements) input.removeAttribute("aria-invalid");
  };

  $("again").addEventListener("click", look);

  $("reveal").addEventListener("click", () => {
    const shown = $("password").type === "text";
    $("password").type = shown ? "password" : "text";
    $("reveal").textContent = shown ? "Show" : "Hide";
    $("reveal").setAttribute("aria-label", (shown ? "Show" : "Hide") + " the password");
  });

  $("form").addEventListener("submit", async (event) => {
    event.preventDefault();
    clear();
    const body = { token, password: $("password").value };
    for (const field of kind.fields || []) if ($(field).value.trim()) body[field] = $(field).value.trim();
    if (kind.fields?.includes("email") && !body.email) return fault("email", "Enter an e-mail address.");
    if (!body.password) return fault("password", "Enter a password.");
    $("submit").disabled = true;
    const answer = await send(kind.post, body);
    $("submit").disabled = false;
    const first = (answer.body.errors || [])[0];
    if (answer.status === 200 || answer.status === 201) {
      $("account").textContent = link.email || body.email;
      end("Done", kind.done, link.applications);
    } else if (answer.status === 401) refused(answer);
    else if (first) fault(first.field, "The " + first.field + " " + first.message + ".");
    else fault("", answer.body.detail);
  });

  if (token) look();
  else end("This link is not complete", "Open it again exactly as you received it.", []);
})();
