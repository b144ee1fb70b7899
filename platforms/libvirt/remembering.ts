/** More than the definitions of a full host, each as it runs and as it is kept. */
const mostTexts = 512;

/**
 * `read`, which looks at each text once: a host's definitions are read with every move and seldom change, and parsing
 * them was most of what a target did. What it gives is shared; change nothing of it. A text that cannot be read is read
 * anew each time.
 */
export function remembering<T>(read: (text: string) => T): (text: string) => T {
  const known = new Map<string, T>();
  return (text) => {
    const found = known.get(text) ?? read(text);
    // The latest last: the first is the one that nobody has asked for the longest.
    known.delete(text);
    known.set(text, found);
    if (known.size > mostTexts) known.delete(known.keys().next().value ?? '');
    return found;
  };
}
