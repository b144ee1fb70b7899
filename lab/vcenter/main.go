// A vCenter for tests: govmomi's simulator behind TLS with a certificate of its own, where sessions are asked for
// everywhere as a real one does, and /folder gives out the bytes of disks. The first line of standard input says what to
// be (config.go), each later one is a command (control.go); it ends with its input, so it never outlives who started it.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"

	"github.com/vmware/govmomi/simulator"
)

const maxLineBytes = 4 << 20

func main() {
	log.SetOutput(os.Stderr)
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(make([]byte, 64<<10), maxLineBytes)
	if !lines.Scan() {
		return fmt.Errorf("standard input gave no configuration")
	}
	var config Config
	if err := json.Unmarshal(lines.Bytes(), &config); err != nil {
		return fmt.Errorf("the configuration is no JSON: %w", err)
	}
	model := modelFor(config)
	defer model.Remove()
	if err := model.Create(); err != nil {
		return err
	}
	machines, err := buildMachines(model, config.Vms)
	if err != nil {
		return err
	}
	gate := newGate(model, config)
	gate.machines = machines
	endpoint, err := serve(model, config, gate)
	if err != nil {
		return err
	}
	answer(map[string]any{"ready": true, "port": endpoint.port, "certificate": endpoint.certificate})
	for lines.Scan() {
		answer(gate.command(lines.Bytes()))
	}
	return lines.Err()
}

func answer(value any) {
	line, err := json.Marshal(value)
	if err != nil {
		line = []byte(`{"error":"the answer is no JSON"}`)
	}
	fmt.Println(string(line))
}

type endpoint struct {
	port        int
	certificate string
}

// serve registers the simulator's handlers without its own server, which would serve /folder to everybody.
func serve(model *simulator.Model, config Config, gate *gate) (*endpoint, error) {
	service := model.Service
	service.Listen = &url.URL{User: url.UserPassword(config.User, config.Password)}
	service.RegisterSDK(model.Map(), model.Map().Path+"/vimService")
	service.ServeMux.HandleFunc(nfcPrefix, gate.serveNFC)
	service.ServeMux.HandleFunc(folderPrefix, gate.serveFolder)
	main, err := listen(gate)
	if err != nil {
		return nil, err
	}
	service.Listen.Host = fmt.Sprintf("127.0.0.1:%d", main.port)
	service.Listen.Scheme = "https"
	// An ESXi that gives out disks under an address and a certificate of its own.
	gate.nfc.direct, err = listen(http.HandlerFunc(gate.serveNFC))
	return main, err
}

func listen(handler http.Handler) (*endpoint, error) {
	pair, pemText, err := selfSigned()
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	server := &http.Server{Handler: handler, TLSConfig: pair}
	go func() { log.Print(server.ServeTLS(listener, "", "")) }()
	return &endpoint{port: listener.Addr().(*net.TCPAddr).Port, certificate: pemText}, nil
}
