/** The smallest guest: a boot sector that says a line on the serial console, then waits for ever, or powers off. */
export interface BootSectorOptions {
  /** Printable ASCII, at most 300 characters. */
  says: string;
  then: 'waits' | 'powers-off';
  /** How long it waits before it says it; 0 if absent. */
  afterMs?: number;
}

/** 512 bytes: the first sector of a disk that a BIOS starts. */
export function bootSector({ says, then, afterMs = 0 }: BootSectorOptions): Buffer {
  const microseconds = Buffer.alloc(4);
  microseconds.writeUInt32LE(afterMs * 1000);
  const [low = 0, lowHigh = 0, high = 0, highHigh = 0] = microseconds;
  // mov ah,0x86; mov cx,high; mov dx,low; int 0x15: the BIOS waits.
  const pause = [0xb4, 0x86, 0xb9, high, highHigh, 0xba, low, lowHigh, 0xcd, 0x15];
  const powerOff = [0xba, 0x04, 0x06, 0xb8, 0x00, 0x20, 0xef];
  const waits = [0xf4, 0xeb, 0xfd];
  const tail = then === 'powers-off' ? [...powerOff, ...waits] : waits;
  const textAt = 0x7c00 + pause.length + 19 + tail.length;
  const code = [
    ...pause,
    // xor ax,ax; mov ds,ax; cld; mov si,text
    ...[0x31, 0xc0, 0x8e, 0xd8, 0xfc, 0xbe, textAt % 256, Math.floor(textAt / 256)],
    // next: lodsb; test al,al; jz tail; mov dx,0x3f8; out dx,al; jmp next
    ...[0xac, 0x84, 0xc0, 0x74, 0x06, 0xba, 0xf8, 0x03, 0xee, 0xeb, 0xf5],
    ...tail,
  ];
  const sector = Buffer.alloc(512);
  Buffer.from(code).copy(sector);
  sector.write(`${says.slice(0, 300)}\r\n`, code.length, 'latin1');
  sector.writeUInt16LE(0xaa55, 510);
  return sector;
}
