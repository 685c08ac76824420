mod life;
mod merges;
mod stored;
mod stories;
mod world;
