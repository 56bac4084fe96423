package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestWalkthroughIsAnAnimatedPicture(t *testing.T) {
	start := time.Now()
	var out bytes.Buffer
	require.NoError(t, render(&out, []line{
		{"$ starter list <1>", start},
		{strings.Repeat("x", columns+1), start.Add(time.Second)},
		{"the end", start.Add(time.Hour)},
	}))
	texts := 0
	for decoder := xml.NewDecoder(&out); ; {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		if element, ok := token.(xml.StartElement); ok && element.Name.Local == "text" {
			texts++
		}
	}
	require.Equal(t, 4, texts, "the long line is wrapped")
}
