/** OVFs as the exporters of three platforms write them, cut to what is read. */

const vmwareSpaces = `xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"
  xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData"
  xmlns:vmw="http://www.vmware.com/schema/ovf"
  xmlns:vssd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData"
  xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"`;

const vmdkFormat = 'http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized';

export interface DiskText {
  id: string;
  href?: string;
  capacity: number | string;
  /** Attributes of `<File>` beyond name and ID: `ovf:compression="gzip"`. */
  file?: string;
  /** Attributes of `<Disk>`. */
  more?: string;
  format?: string;
}

export interface VmwareText {
  name?: string;
  disks: readonly DiskText[];
  /** Inside the hardware section. */
  hardware?: string;
  /** Inside the virtual system. */
  system?: string;
}

const item = (fields: Readonly<Record<string, string | number>>, attributes = ''): string =>
  `<Item${attributes}>${Object.entries(fields)
    .map(([name, value]) => `<rasd:${name}>${value}</rasd:${name}>`)
    .join('')}</Item>`;

export const itemText = item;

const references = (disks: readonly DiskText[]): string =>
  disks
    .filter(({ href }) => href !== undefined)
    .map(({ id, href, file = '' }) => `<File ovf:href="${href}" ovf:id="file-${id}" ${file}/>`)
    .join('\n');

const diskSection = (disks: readonly DiskText[]): string =>
  `<DiskSection><Info>Disks</Info>${disks
    .map(
      ({ id, href, capacity, more = '', format = vmdkFormat }) =>
        `<Disk ovf:capacity="${capacity}" ovf:diskId="${id}" ${href === undefined ? '' : `ovf:fileRef="file-${id}"`} ovf:format="${format}" ${more}/>`,
    )
    .join('\n')}</DiskSection>`;

const system = ({ name = 'web', disks, hardware = '', system: more = '' }: VmwareText): string => `
  <VirtualSystem ovf:id="${name}"><Info>A machine</Info><Name>${name}</Name>
    <OperatingSystemSection ovf:id="96" vmw:osType="debian11_64Guest"><Info/></OperatingSystemSection>
    <VirtualHardwareSection><Info/>
      ${item({ AllocationUnits: 'hertz * 10^6', InstanceID: 1, ResourceType: 3, VirtualQuantity: 4 }).replace('</Item>', '<vmw:CoresPerSocket>2</vmw:CoresPerSocket></Item>')}
      ${item({ AllocationUnits: 'byte * 2^20', InstanceID: 2, ResourceType: 4, VirtualQuantity: 2048 })}
      ${item({ Address: 0, InstanceID: 3, ResourceSubType: 'VirtualSCSI', ResourceType: 6 })}
      ${disks
        .map(({ id }, nth) =>
          item({
            AddressOnParent: nth,
            HostResource: `ovf:/disk/${id}`,
            InstanceID: 10 + nth,
            Parent: 3,
            ResourceType: 17,
          }),
        )
        .join('\n')}
      ${item({ AddressOnParent: 7, AutomaticAllocation: 'true', Connection: 'VM Network', InstanceID: 40, ResourceSubType: 'VmxNet3', ResourceType: 10 })}
      ${hardware}
    </VirtualHardwareSection>${more}
  </VirtualSystem>`;

/** One machine, as vSphere exports it. */
export const vmwareOvf = (text: VmwareText): string => `<?xml version="1.0" encoding="UTF-8"?>
<Envelope vmw:buildId="build-1" ${vmwareSpaces}>
  <References>${references(text.disks)}</References>
  ${diskSection(text.disks)}
  <NetworkSection><Info/><Network ovf:name="VM Network"/></NetworkSection>
  ${system(text)}
</Envelope>`;

/** Several machines in a collection. */
export const collectionOvf = (texts: readonly VmwareText[]): string => {
  const all = texts.flatMap(({ disks }) => disks);
  const disks = all.filter(({ id }, at) => all.findIndex((one) => one.id === id) === at);
  return `<?xml version="1.0"?><ovf:Envelope ${vmwareSpaces}>
  <References>${references(disks)}</References>${diskSection(disks)}
  <VirtualSystemCollection ovf:id="app"><Info/>${texts.map(system).join('')}</VirtualSystemCollection>
</ovf:Envelope>`;
};

export const virtualBoxOvf = (href: string): string => `<?xml version="1.0"?>
<Envelope ovf:version="1.0" xml:lang="en-US" xmlns="http://schemas.dmtf.org/ovf/envelope/1"
  xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"
  xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData"
  xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:vbox="http://www.virtualbox.org/ovf/machine">
  <References><File ovf:href="${href}" ovf:id="file1"/></References>
  <DiskSection><Info/><Disk ovf:capacity="41943040" ovf:diskId="vmdisk1" ovf:fileRef="file1" ovf:format="${vmdkFormat}" vbox:uuid="x"/></DiskSection>
  <NetworkSection><Info/><Network ovf:name="NAT"/></NetworkSection>
  <VirtualSystem ovf:id="vbox web"><Info/>
    <OperatingSystemSection ovf:id="121"><Info/><Description>Windows10_64</Description>
      <vbox:OSType ovf:required="false">Windows10_64</vbox:OSType></OperatingSystemSection>
    <VirtualHardwareSection><Info/>
      ${item({ InstanceID: 1, ResourceType: 3, VirtualQuantity: 1 })}
      ${item({ AllocationUnits: 'MegaBytes', InstanceID: 2, ResourceType: 4, VirtualQuantity: 512 })}
      ${item({ Address: 0, InstanceID: 3, ResourceSubType: 'PIIX4', ResourceType: 5 })}
      ${item({ Address: 1, InstanceID: 4, ResourceSubType: 'PIIX4', ResourceType: 5 })}
      ${item({ Address: 0, InstanceID: 5, ResourceSubType: 'AHCI', ResourceType: 20 })}
      ${item({ AddressOnParent: 0, HostResource: '/disk/vmdisk1', InstanceID: 6, Parent: 5, ResourceType: 17 })}
      ${item({ AddressOnParent: 0, InstanceID: 7, Parent: 4, ResourceType: 15 })}
      ${item({ AutomaticAllocation: 'true', Connection: 'NAT', InstanceID: 8, ResourceSubType: 'E1000', ResourceType: 10 })}
    </VirtualHardwareSection>
    <vbox:Machine ovf:required="false" uuid="{6E2B0A37-64F5-4B8B-8C4B-6C0D3C7E1F11}" name="vbox web">
      <ovf:Info/><Hardware><Firmware type="EFI"/><TrustedPlatformModule type="v2_0"/>
        <Network><Adapter slot="0" enabled="true" MACAddress="0800271F2E3D" type="82540EM"/>
          <Adapter slot="1" enabled="false" MACAddress="080027AAAAAA"/></Network></Hardware>
    </vbox:Machine>
  </VirtualSystem>
</Envelope>`;

export const oVirtOvf = (href: string): string => `<?xml version="1.0" encoding="UTF-8"?>
<ovf:Envelope xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1/"
  xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData"
  xmlns:vssd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData"
  xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" ovf:version="4.4.0.0">
  <References><File ovf:href="${href}" ovf:id="10d29a0a" ovf:description="Active VM"/></References>
  <NetworkSection><Info/><Network ovf:name="ovirtmgmt"/></NetworkSection>
  <DiskSection><Info/><Disk ovf:diskId="9f1c" ovf:capacity="41943040" ovf:fileRef="10d29a0a"
    ovf:format="http://www.vmware.com/specifications/vmdk.html#sparse" ovf:volume-format="RAW"
    ovf:disk-interface="VirtIO_SCSI" ovf:boot="true"/></DiskSection>
  <VirtualSystem ovf:id="0d1f2e3c-1111-4222-8333-444455556666"><Name>ovirt-web</Name>
    <BiosType>4</BiosType>
    <OperatingSystemSection ovf:id="24" ovf:required="false"><Info/><Description>rhel_8x64</Description></OperatingSystemSection>
    <VirtualHardwareSection><Info/>
      ${item({ InstanceId: 1, ResourceType: 3, num_of_sockets: 2, cpu_per_socket: 2, threads_per_cpu: 1 })}
      ${item({ InstanceId: 2, ResourceType: 4, AllocationUnits: 'MegaBytes', VirtualQuantity: 1024 })}
      ${item({ InstanceId: '9f1c', ResourceType: 17, HostResource: href })}
      ${item({ InstanceId: 'n1', ResourceType: 10, ResourceSubType: 3, Connection: 'ovirtmgmt', MACAddress: '56:6F:1A:2B:00:01' })}
    </VirtualHardwareSection>
  </VirtualSystem>
</ovf:Envelope>`;
