// Long lists: rows of one height, of which only the pages near what is seen are there.

/* global Idiomorph */

import { fetchPart, filters, state } from "./console.js";

const AROUND = 1;
const ROW_PX = 30;
const SETTLE_MS = 60;

class VirtualList {
  constructor(element) {
    this.element = element;
    this.name = element.dataset.virtual;
    this.query = element.dataset.query;
    this.pages = new Map();
    this.anchor = null;
    this.loading = null;
    this.wanted = new Set();
    this.rowHeight = ROW_PX;
    this.top = this.spacer();
    this.bottom = this.spacer();
    const first = element.querySelector(".page");
    element.prepend(this.top);
    element.append(this.bottom);
    this.begin(first);
    element.addEventListener("scroll", () => this.scrolled(), { passive: true });
    element.addEventListener("console:kept", (event) => this.kept(event.detail.fresh));
    new ResizeObserver(() => {
      this.measure();
      this.layout();
    }).observe(element);
  }

  spacer() {
    const spacer = document.createElement("div");
    spacer.setAttribute("role", "presentation");
    return spacer;
  }

  /** Start anew, with this first page. */
  begin(page) {
    for (const each of this.pages.values()) each.remove();
    this.pages.clear();
    this.anchor = null;
    this.element.scrollTop = 0;
    this.pageRows = Number(page.dataset.page) || 100;
    this.put(0, page);
  }

  /** The view was asked for again: its first page is fresh, and those that are seen must become so. */
  kept(fresh) {
    const page = fresh.querySelector(".page");
    if (!page) return;
    if (fresh.dataset.query !== this.query) {
      this.query = fresh.dataset.query;
      this.begin(page);
      return;
    }
    if (this.anchor !== null && state.asOf === null) {
      this.showNews();
      return;
    }
    this.count(page);
    if (this.pages.has(0)) this.put(0, page);
    for (const index of this.pages.keys()) if (index > 0) this.wanted.add(index);
    this.layout();
  }

  count(page) {
    const total = Number(page.dataset.total);
    this.total = page.dataset.more === "yes" ? Math.max(total + this.pageRows, this.total || 0) : total;
  }

  put(index, page) {
    const old = this.pages.get(index);
    this.count(page);
    page.style.minHeight = "";
    if (old && old !== page) {
      Idiomorph.morph(old, page, { morphStyle: "outerHTML" });
    } else {
      this.pages.set(index, page);
      this.place(index, page);
    }
    this.layout();
  }

  place(index, page) {
    const after = [...this.pages.keys()].filter((each) => each < index).sort((a, b) => b - a)[0];
    (after === undefined ? this.top : this.pages.get(after)).after(page);
  }

  measure() {
    const row = this.element.querySelector(".row:not(.none)");
    this.rowHeight = row?.getBoundingClientRect().height || this.rowHeight;
  }

  /** See to it that the pages around what is seen are there, and no others. */
  layout() {
    const height = this.rowHeight * this.pageRows;
    const last = Math.max(Math.ceil(this.total / this.pageRows) - 1, 0);
    const { scrollTop, clientHeight } = this.element;
    const from = Math.min(Math.max(Math.floor(scrollTop / height) - AROUND, 0), last);
    const to = Math.min(Math.floor((scrollTop + clientHeight) / height) + (scrollTop > 0 ? AROUND : 0), last);
    for (const [index, page] of this.pages) {
      if (index < from || index > to) {
        page.remove();
        this.pages.delete(index);
        this.wanted.delete(index);
      }
    }
    for (let index = from; index <= to; index++) {
      if (!this.pages.has(index)) {
        const page = document.createElement("div");
        page.className = "page waiting";
        page.setAttribute("role", "presentation");
        this.pages.set(index, page);
        this.place(index, page);
        this.wanted.add(index);
      }
    }
    for (const [index, page] of this.pages) {
      const rows = Math.min(this.pageRows, Math.max(this.total - index * this.pageRows, 0));
      if (page.classList.contains("waiting")) page.style.minHeight = `${rows * this.rowHeight}px`;
    }
    this.top.style.height = `${from * height}px`;
    this.bottom.style.height = `${Math.max(this.total - (to + 1) * this.pageRows, 0) * this.rowHeight}px`;
    this.load();
  }

  scrolled() {
    if (this.element.dataset.pins !== undefined && state.asOf === null) {
      if (this.element.scrollTop > this.rowHeight && this.anchor === null) this.anchor = state.sequence;
      else if (this.element.scrollTop === 0 && this.anchor !== null) this.unpin();
    }
    clearTimeout(this.settling);
    this.settling = setTimeout(() => this.layout(), SETTLE_MS);
  }

  /** What is read is held where it is while more happens above it. */
  showNews() {
    const count = state.head - this.anchor;
    if (count <= 0) return;
    if (!this.news) {
      this.news = document.createElement("button");
      this.news.type = "button";
      this.news.className = "news";
      this.news.addEventListener("click", () => this.unpin());
      this.element.before(this.news);
    }
    this.news.textContent = `${count.toLocaleString()} new – to the top`;
  }

  unpin() {
    this.anchor = null;
    this.news?.remove();
    this.news = null;
    this.element.scrollTop = 0;
    for (const index of this.pages.keys()) this.wanted.add(index);
    this.layout();
  }

  /** One page after the other, those that are seen first. */
  async load() {
    if (this.loading) return;
    this.loading = true;
    try {
      while (this.wanted.size && this.element.isConnected) {
        const index = this.first();
        this.wanted.delete(index);
        await this.fetch(index);
      }
    } finally {
      this.loading = false;
    }
  }

  first() {
    const seen = Math.floor(this.element.scrollTop / (this.rowHeight * this.pageRows));
    return [...this.wanted].sort((a, b) => Math.abs(a - seen) - Math.abs(b - seen))[0];
  }

  async fetch(index) {
    const query = this.query;
    const pinned = this.anchor !== null && state.asOf === null ? { as_of: this.anchor } : {};
    const { mode: _, ...given } = filters();
    let html;
    try {
      html = await fetchPart(this.name, { ...given, offset: index * this.pageRows, ...pinned });
    } catch {
      return; // told elsewhere; the next refresh asks again
    }
    const page = new DOMParser().parseFromString(html, "text/html").querySelector(".page");
    const old = this.pages.get(index);
    if (!page || !old || query !== this.query) return;
    if (old.classList.contains("waiting")) {
      document.adoptNode(page);
      old.replaceWith(page);
      this.pages.set(index, page);
      this.count(page);
      this.layout();
    } else {
      this.put(index, page);
    }
  }
}

const lists = new WeakMap();

function begin() {
  for (const element of document.querySelectorAll("[data-virtual]")) {
    if (!lists.has(element)) lists.set(element, new VirtualList(element));
  }
}

document.addEventListener("console:shown", begin);
begin();
