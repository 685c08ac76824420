mod history;
mod life;
mod mend;
mod merges;
mod notes;
mod stored;
mod stories;
mod world;
