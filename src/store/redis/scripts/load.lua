-- Aggregates and gates of one tenant as they are together.
-- ARGV: tenant; how many aggregates, their members; how many gates, their upstreams.
return together(ARGV[1], 2)
