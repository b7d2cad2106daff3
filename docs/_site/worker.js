// Search in a page that was opened from a folder. Browsers start no web worker there, so its program
// runs in a hidden frame of the page.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      const frame = document.createElement("iframe");
      frame.hidden = true;
      document.body.append(frame);
      const inside = (this.inside = frame.contentWindow);
      inside.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
      inside.importScripts = (name) => {
        throw new Error(`${name} cannot be loaded in a page that was opened from a folder`);
      };
      const program = inside.document.createElement("script");
      this.ready = new Promise((done) => program.addEventListener("load", done));
      program.src = url;
      inside.document.body.append(program);
    }

    postMessage(data) {
      this.ready.then(() => this.inside.dispatchEvent(new this.inside.MessageEvent("message", { data })));
    }
  };
}
