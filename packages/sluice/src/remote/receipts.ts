/** Receipts of reservations on the wire: four numbers, and two for each charge. */
import type { ReservationCharge, ReservationReceipt } from "../algorithms/kernel.js";

const HEAD = 4;
const CHARGE = 2;

export function receiptNumbers(receipt: ReservationReceipt): readonly number[] {
  const { readyAtUs, delayUs, openedUs, sold, charges } = receipt;
  const numbers = [readyAtUs, delayUs, openedUs, sold];
  for (const { extra, endedUs } of charges) numbers.push(extra, endedUs);
  return numbers;
}

export function receiptOf(numbers: readonly number[]): ReservationReceipt {
  const [readyAtUs = 0, delayUs = 0, openedUs = 0, sold = 0] = numbers;
  const charges: ReservationCharge[] = [];
  for (let i = HEAD; i + 1 < numbers.length; i += CHARGE) {
    charges.push({ extra: numbers[i] as number, endedUs: numbers[i + 1] as number });
  }
  return { readyAtUs, delayUs, openedUs, sold, charges };
}

/** How many numbers a receipt of `debits` debits has. */
export function receiptLength(debits: number): number {
  return HEAD + CHARGE * debits;
}
