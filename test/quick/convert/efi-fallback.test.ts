import { describe, expect, it } from 'vitest';
import { efiFallbackCopies } from '../../../convert/efi-fallback.ts';

const esp = (...names: string[]) => names.map((name) => `/boot/efi/EFI/${name}`);

describe('the fallback boot path', () => {
  it('starts the shim, with the loader and the key manager beside it', () => {
    const paths = esp(
      'debian/grubx64.efi',
      'debian/shimx64.efi',
      'debian/mmx64.efi',
      'debian/grub.cfg',
    );
    expect(efiFallbackCopies(paths)).toEqual([
      { from: '/boot/efi/EFI/debian/shimx64.efi', to: '/boot/efi/EFI/BOOT/BOOTX64.EFI' },
      { from: '/boot/efi/EFI/debian/grubx64.efi', to: '/boot/efi/EFI/BOOT/grubx64.efi' },
      { from: '/boot/efi/EFI/debian/mmx64.efi', to: '/boot/efi/EFI/BOOT/mmx64.efi' },
    ]);
  });

  it('starts the loader itself where there is no shim', () => {
    expect(efiFallbackCopies(esp('arch/grubx64.efi')).map(({ to }) => to)).toEqual(
      esp('BOOT/BOOTX64.EFI'),
    );
    const systemd = esp('systemd/systemd-bootx64.efi', 'x/grubx64.efi');
    expect(efiFallbackCopies(systemd)[0]?.from).toContain('systemd-boot');
  });

  it('is left alone where it is, in whatever letters', () => {
    expect(efiFallbackCopies(esp('debian/shimx64.efi', 'Boot/bootx64.efi'))).toEqual([]);
    expect(efiFallbackCopies(esp('Microsoft/bootmgfw.efi'))).toEqual([]);
    expect(efiFallbackCopies([])).toEqual([]);
  });
});
