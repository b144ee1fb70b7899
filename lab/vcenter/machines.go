package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/vmware/govmomi/find"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/types"
)

type machine struct {
	name  string
	ref   types.ManagedObjectReference
	disks map[int32]*disk
}

func modelFor(config Config) *simulator.Model {
	model := simulator.VPX()
	model.Autostart = false
	model.Host = 0
	model.ClusterHost = 1
	model.Machine = config.Machines
	return model
}

func buildMachines(model *simulator.Model, configs []VmConfig) (map[string]*machine, error) {
	ctx := context.Background()
	client, err := vim25.NewClient(ctx, model.Service)
	if err != nil {
		return nil, err
	}
	finder := find.NewFinder(client, false)
	dc, err := finder.DefaultDatacenter(ctx)
	if err != nil {
		return nil, err
	}
	folders, err := dc.Folders(ctx)
	if err != nil {
		return nil, err
	}
	finder.SetDatacenter(dc)
	pool, err := finder.ResourcePool(ctx, "DC0_C0/Resources")
	if err != nil {
		return nil, err
	}
	machines := map[string]*machine{}
	for _, config := range configs {
		spec := types.VirtualMachineConfigSpec{
			Name: config.Name, GuestId: config.GuestID, NumCPUs: config.CPUs, MemoryMB: config.MemoryMB,
			Firmware: config.Firmware, Files: &types.VirtualMachineFileInfo{VmPathName: "[LocalDS_0]"},
		}
		spec.NumCoresPerSocket = &config.Cores
		task, err := folders.VmFolder.CreateVM(ctx, spec, pool, nil)
		if err != nil {
			return nil, err
		}
		info, err := task.WaitForResult(ctx, nil)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", config.Name, err)
		}
		built := &machine{name: config.Name, ref: info.Result.(types.ManagedObjectReference), disks: map[int32]*disk{}}
		if err := built.furnish(model, config); err != nil {
			return nil, fmt.Errorf("%s: %w", config.Name, err)
		}
		machines[config.Name] = built
	}
	return machines, nil
}

func (m *machine) vm(model *simulator.Model) *simulator.VirtualMachine {
	found, _ := model.Map().Get(m.ref).(*simulator.VirtualMachine)
	return found
}

func (m *machine) owns(name string) bool { return strings.HasPrefix(name, m.name+"/") }

func (m *machine) isRunning(model *simulator.Model) bool {
	vm := m.vm(model)
	if vm == nil {
		return false
	}
	running := false
	model.Service.Context.WithLock(vm, func() {
		running = vm.Runtime.PowerState == types.VirtualMachinePowerStatePoweredOn
	})
	return running
}

func (m *machine) setPower(model *simulator.Model, on bool) error {
	state := types.VirtualMachinePowerStatePoweredOff
	if on {
		state = types.VirtualMachinePowerStatePoweredOn
	}
	vm := m.vm(model)
	if vm == nil {
		return fmt.Errorf("%s is gone", m.name)
	}
	model.Service.Context.WithLock(vm, func() {
		model.Service.Context.Update(vm, []types.PropertyChange{
			{Name: "runtime.powerState", Val: state},
			{Name: "summary.runtime.powerState", Val: state},
		})
	})
	if on {
		return m.renewContentIds()
	}
	return nil
}

func (m *machine) destroy(ctx context.Context, model *simulator.Model) error {
	client, err := vim25.NewClient(ctx, model.Service)
	if err != nil {
		return err
	}
	task, err := object.NewVirtualMachine(client, m.ref).Destroy(ctx)
	if err != nil {
		return err
	}
	return task.Wait(ctx)
}
