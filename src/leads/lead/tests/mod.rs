mod compared;
mod history;
mod life;
mod mend;
mod merges;
mod stored;
mod stories;
mod world;
