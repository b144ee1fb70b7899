package main

import (
	"fmt"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

// furnish puts the devices in place as a real machine shows them, past the simulator's own rules.
func (m *machine) furnish(model *simulator.Model, config VmConfig) error {
	vm := m.vm(model)
	store := model.Map().Any("Datastore").(*simulator.Datastore)
	var devices []types.BaseVirtualDevice
	controllers := map[string]int32{}
	boot := []types.BaseVirtualMachineBootOptionsBootableDevice{}
	for _, wanted := range config.Disks {
		name := fmt.Sprintf("%s%d", wanted.Controller, wanted.Bus)
		if _, made := controllers[name]; !made {
			controller, key, err := controllerFor(wanted)
			if err != nil {
				return err
			}
			controllers[name] = key
			devices = append(devices, controller)
		}
		made, err := makeDisk(store.Summary.Url, m.name, wanted)
		if err != nil {
			return err
		}
		m.disks[wanted.Key] = made
		devices = append(devices, made.device(store.Self, m.name, wanted, controllers[name]))
		if wanted.Boot {
			boot = append(boot, &types.VirtualMachineBootOptionsBootableDiskDevice{DeviceKey: wanted.Key})
		}
	}
	for index, nic := range config.Nics {
		devices = append(devices, nicFor(model, nic, int32(4000+index)))
	}
	devices = append(devices, cdromFor(config.Iso))
	if config.Tpm {
		devices = append(devices, &types.VirtualTPM{VirtualDevice: types.VirtualDevice{Key: 11000}})
	}
	if config.Passthru != "" {
		devices = append(devices, passthroughFor(config.Passthru))
	}
	vm.Config.Hardware.Device = devices
	vm.Config.BootOptions = &types.VirtualMachineBootOptions{EfiSecureBootEnabled: &config.SecureBoot, BootOrder: boot}
	vm.Guest = guestFor(config)
	if config.Running {
		return m.setPower(model, true)
	}
	return nil
}

func controllerFor(disk DiskConfig) (types.BaseVirtualDevice, int32, error) {
	controller := types.VirtualController{BusNumber: disk.Bus}
	switch disk.Controller {
	case "scsi":
		controller.Key = 1000 + disk.Bus
		base := types.VirtualSCSIController{VirtualController: controller, SharedBus: types.VirtualSCSISharingNoSharing}
		return &types.ParaVirtualSCSIController{VirtualSCSIController: base}, controller.Key, nil
	case "ide":
		controller.Key = 200 + disk.Bus
		return &types.VirtualIDEController{VirtualController: controller}, controller.Key, nil
	case "sata":
		controller.Key = 15000 + disk.Bus
		base := types.VirtualSATAController{VirtualController: controller}
		return &types.VirtualAHCIController{VirtualSATAController: base}, controller.Key, nil
	case "nvme":
		controller.Key = 31000 + disk.Bus
		return &types.VirtualNVMEController{VirtualController: controller}, controller.Key, nil
	}
	return nil, 0, fmt.Errorf("there is no controller %q", disk.Controller)
}

func nicFor(model *simulator.Model, nic NicConfig, key int32) types.BaseVirtualDevice {
	card := types.VirtualEthernetCard{MacAddress: nic.Mac}
	card.Key = key
	card.Connectable = &types.VirtualDeviceConnectInfo{StartConnected: true, Connected: false}
	if nic.Distributed {
		card.Backing = &types.VirtualEthernetCardDistributedVirtualPortBackingInfo{
			Port: types.DistributedVirtualSwitchPortConnection{PortgroupKey: portGroup(model)},
		}
	} else {
		backing := &types.VirtualEthernetCardNetworkBackingInfo{}
		backing.DeviceName = "VM Network"
		card.Backing = backing
	}
	if nic.Model == "e1000" {
		return &types.VirtualE1000{VirtualEthernetCard: card}
	}
	return &types.VirtualVmxnet3{VirtualVmxnet: types.VirtualVmxnet{VirtualEthernetCard: card}}
}

// portGroup gives the key of the one that is for machines; the other one is for uplinks.
func portGroup(model *simulator.Model) string {
	for _, found := range model.Map().All("DistributedVirtualPortgroup") {
		if group, is := found.(*simulator.DistributedVirtualPortgroup); is && group.Name == "DC0_DVPG0" {
			return group.Key
		}
	}
	return ""
}

func cdromFor(iso string) types.BaseVirtualDevice {
	drive := &types.VirtualCdrom{VirtualDevice: types.VirtualDevice{Key: 3002}}
	if iso == "" {
		drive.Backing = &types.VirtualCdromRemotePassthroughBackingInfo{}
		return drive
	}
	backing := &types.VirtualCdromIsoBackingInfo{}
	backing.FileName = iso
	drive.Backing = backing
	return drive
}

func passthroughFor(id string) types.BaseVirtualDevice {
	device := &types.VirtualPCIPassthrough{VirtualDevice: types.VirtualDevice{Key: 13000}}
	device.Backing = &types.VirtualPCIPassthroughDeviceBackingInfo{Id: id}
	return device
}

func guestFor(config VmConfig) *types.GuestInfo {
	guest := &types.GuestInfo{ToolsRunningStatus: string(types.VirtualMachineToolsRunningStatusGuestToolsNotRunning)}
	if config.Running && !config.NoTools {
		guest.ToolsRunningStatus = string(types.VirtualMachineToolsRunningStatusGuestToolsRunning)
	}
	stack := types.GuestStackInfo{IpRouteConfig: &types.NetIpRouteConfigInfo{}}
	for index, told := range config.Guest {
		nic := types.GuestNicInfo{MacAddress: told.Mac, Connected: true, DeviceConfigId: int32(4000 + index)}
		nic.IpConfig = &types.NetIpConfigInfo{}
		for _, address := range told.Addresses {
			nic.IpConfig.IpAddress = append(nic.IpConfig.IpAddress, types.NetIpConfigInfoIpAddress{
				IpAddress: address, PrefixLength: told.Prefix, Origin: told.Origin, State: "preferred",
			})
		}
		nic.DnsConfig = &types.NetDnsConfigInfo{IpAddress: told.DNS, SearchDomain: told.Search}
		guest.Net = append(guest.Net, nic)
		if told.Gateway != "" {
			route := types.NetIpRouteConfigInfoIpRoute{Network: "0.0.0.0", PrefixLength: 0}
			route.Gateway = types.NetIpRouteConfigInfoGateway{IpAddress: told.Gateway, Device: fmt.Sprint(index)}
			stack.IpRouteConfig.IpRoute = append(stack.IpRouteConfig.IpRoute, route)
		}
	}
	guest.IpStack = []types.GuestStackInfo{stack}
	return guest
}
