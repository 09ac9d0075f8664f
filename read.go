package baretls

import (
	"github.com/baretls/baretls/internal/fault"
	"github.com/baretls/baretls/internal/record"
)

// What ReadTraffic and ReadEarlyData have in common.

// readRecord opens the next record of data, if the connection is at that place.
func (c *Conn) readRecord(at place) (AppDataRecord, bool) {
	if !c.is(at) || !c.readsData() || c.core.EarlyRead != (at == atReadEarly) {
		return AppDataRecord{}, false
	}
	rec, ok := c.nextRecord()
	if !ok || !isData(rec) {
		return AppDataRecord{}, false
	}
	t, payload, err := c.core.In.Open(rec)
	if err != nil {
		c.fail(err)
		return AppDataRecord{}, false
	}
	c.take(rec)
	if t != record.ApplicationData {
		err = c.content(t, payload)
		payload = nil
	} else {
		err = c.data(payload)
	}
	if err != nil {
		c.fail(err)
		return AppDataRecord{}, false
	}
	return AppDataRecord{len(rec), payload}, true
}

// data counts what has come.
func (c *Conn) data(payload []byte) error {
	switch {
	case c.core.In.Partial():
		return fault.InterleavedRecord.With("%v", record.ApplicationData)
	case len(payload) == 0:
		return c.brought(false)
	}
	c.useless = 0
	if c.core.EarlyRead {
		return c.core.TakeEarlyData(len(payload))
	}
	c.core.SawData()
	return nil
}

func (c *Conn) peekRecord(at place) (int, bool) {
	if !c.is(at) || !c.readsData() || c.core.EarlyRead != (at == atReadEarly) {
		return 0, false
	}
	need := c.need
	rec, ok := c.nextRecord()
	c.need = need
	if !ok || !isData(rec) {
		return 0, false
	}
	return c.core.In.PayloadLen(len(rec) - record.HeaderLen), true
}

func (c *Conn) eachRecord(at place, yield func(AppDataRecord) bool) {
	for {
		rec, ok := c.readRecord(at)
		if !ok || !yield(rec) {
			return
		}
	}
}
