-- Aggregates and gates of one tenant as they are together.
-- ARGV: tenant, how many aggregates, their members, the gates' upstreams.
local tenant, count = ARGV[1], tonumber(ARGV[2])
local documents, gates = {}, {}
for i = 3, 2 + count do
  documents[#documents + 1] = document(tenant, ARGV[i])
end
for i = 3 + count, #ARGV do
  gates[#gates + 1] = gate_view(tenant, ARGV[i])
end
return { documents, gates }
