/** Passwords and names as SCRAM hashes them: SASLprep (RFC 4013) as far as Unicode's own tables go. */

/** Spaces other than the usual one count as it. */
const OTHER_SPACES = /[\u00a0\u1680\u2000-\u200b\u202f\u205f\u3000]/gu;
/** What is there only for typesetting does not count. */
const NOTHING = /\u00ad|\u034f|\u1806|\p{Variation_Selector}|\u200c|\u200d|\u2060|\ufeff/gu;
/** Control, private, unassigned for text, and half characters cannot be meant. */
const PROHIBITED =
  /[\p{Cc}\p{Co}\p{Cs}\u0340\u0341\u200e\u200f\u202a-\u202e\u206a-\u206f\ufff9-\ufffd]/u;

/** The prepared text, or undefined for one that nobody can have typed. Plain ASCII stays as it is. */
export function prepared(text: string): string | undefined {
  const folded = text.replace(OTHER_SPACES, ' ').replace(NOTHING, '').normalize('NFKC');
  return PROHIBITED.test(folded) || folded === '' ? undefined : folded;
}
