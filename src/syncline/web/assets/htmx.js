// Extensions of htmx look for it as a global.
import htmx from "htmx.org/dist/htmx.esm.js";

window.htmx = htmx;
// What asks a person whether they are sure stays as they read it when its part of the page is looked at anew.
htmx.config.morphSkip = "details.confirm[open]";
