/** An element by its local name. */
export interface XmlElement {
  readonly name: string;
  /** `xsi:type` without its prefix; empty if there is none. */
  readonly type: string;
  /** Those without a prefix. */
  readonly attributes: Readonly<Record<string, string>> | undefined;
  readonly children: readonly XmlElement[];
  /** Its own, as it stands; what stands between children is left out. */
  readonly text: string;
}
