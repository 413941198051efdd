-- What the verbs ask of all debits. Twin of debit.ts.
--
-- @const READY from algorithms/kernel.ts
local function ready(debits, result)
  for i = 1, #debits do
    local debit = debits[i]
    if debit.cost > 0 and debit.kernel.ready then
      result.readiness = debit.kernel.ready(debit.state, debit.params, result.now)
      if result.readiness ~= READY then return false end
    end
  end
  return true
end
