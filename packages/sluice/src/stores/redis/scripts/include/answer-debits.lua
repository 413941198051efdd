-- Adds what each debit of a decided call came to.
--
-- Given   debits          decided
--         says            whether reasons and waits follow
for i = 1, #debits do
  local debit = debits[i]
  reply[n + 1], reply[n + 2] = debit.available, debit.reset
  n = n + 2
  if says then
    reply[n + 1], reply[n + 2] = debit.reason, debit.wait
    n = n + 2
  end
end
