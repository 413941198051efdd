-- What the verbs ask of all seats. Twin of algorithms/seat.ts.
local function ready(seats, verdict)
  for i = 1, #seats do
    local seat = seats[i]
    if seat.cost > 0 and seat.kernel.ready then
      verdict.readiness = seat.kernel.ready(seat.state, seat.params, verdict.now)
      if verdict.readiness ~= READY then return false end
    end
  end
  return true
end
