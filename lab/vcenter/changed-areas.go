package main

import (
	"encoding/xml"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// The simulator has no QueryChangedDiskAreas. Each write by command is an area with a number; a change ID is the number
// of the last write that it knows of, after the stroke.
type changedQuery struct {
	This     string `xml:"Body>QueryChangedDiskAreas>_this"`
	Key      int32  `xml:"Body>QueryChangedDiskAreas>deviceKey"`
	Start    int64  `xml:"Body>QueryChangedDiskAreas>startOffset"`
	ChangeID string `xml:"Body>QueryChangedDiskAreas>changeId"`
}

func (g *gate) serveChangedAreas(w http.ResponseWriter, r *http.Request, body []byte) {
	var query changedQuery
	if err := xml.Unmarshal(body, &query); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	if _, err := r.Cookie(sessionCookie); err != nil {
		soapFault(w, "NotAuthenticated")
		return
	}
	for _, machine := range g.machines {
		disk := machine.disks[query.Key]
		if machine.ref.Value != query.This || disk == nil {
			continue
		}
		_, after, _ := strings.Cut(query.ChangeID, "/")
		since, err := strconv.Atoi(after)
		if query.ChangeID == "*" {
			since, err = 0, nil
		}
		if err != nil || since > len(disk.areas) {
			soapFault(w, "FileFault")
			return
		}
		soapBody(w, http.StatusOK, disk.changedXML(query.Start, since))
		return
	}
	soapFault(w, "ManagedObjectNotFound")
}

func (d *disk) changedXML(start int64, since int) string {
	var text strings.Builder
	fmt.Fprintf(&text, `<QueryChangedDiskAreasResponse xmlns="urn:vim25"><returnval><startOffset>%d</startOffset>`, start)
	fmt.Fprintf(&text, `<length>%d</length>`, d.sizeBytes-start)
	for _, area := range d.areas[since:] {
		if area.start+area.length <= start {
			continue
		}
		fmt.Fprintf(&text, `<changedArea><start>%d</start><length>%d</length></changedArea>`, area.start, area.length)
	}
	text.WriteString(`</returnval></QueryChangedDiskAreasResponse>`)
	return text.String()
}

func soapFault(w http.ResponseWriter, kind string) {
	soapBody(w, http.StatusInternalServerError, fmt.Sprintf(
		`<soapenv:Fault><faultcode>ServerFaultCode</faultcode><faultstring>%s</faultstring><detail>`+
			`<%sFault xmlns="urn:vim25" xsi:type="%s"/></detail></soapenv:Fault>`, kind, kind, kind))
}

func soapBody(w http.ResponseWriter, status int, content string) {
	w.Header().Set("Content-Type", "text/xml; charset=utf-8")
	w.WriteHeader(status)
	fmt.Fprintf(w, `<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope `+
		`xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" `+
		`xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body>%s</soapenv:Body></soapenv:Envelope>`, content)
}
