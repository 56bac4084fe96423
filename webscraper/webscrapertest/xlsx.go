package webscrapertest

import (
	"archive/zip"
	"bufio"
	"encoding/xml"
	"fmt"
	"io"
)

// xlsxParts are the parts of a workbook besides its only sheet, in the order
// of the file.
var xlsxParts = []struct{ name, content string }{
	{"[Content_Types].xml", `<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">` +
		`<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>` +
		`<Override PartName="/xl/workbook.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/>` +
		`<Override PartName="/xl/worksheets/sheet1.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml"/>` +
		`</Types>`},
	{"_rels/.rels", `<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">` +
		`<Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" Target="xl/workbook.xml"/>` +
		`</Relationships>`},
	{"xl/workbook.xml", `<workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" ` +
		`xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships">` +
		`<sheets><sheet name="Sheet1" sheetId="1" r:id="rId1"/></sheets></workbook>`},
	{"xl/_rels/workbook.xml.rels", `<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">` +
		`<Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet" Target="worksheets/sheet1.xml"/>` +
		`</Relationships>`},
}

// writeXLSX writes a workbook of one sheet, every cell an inline string.
func writeXLSX(w io.Writer, t *table) error {
	archive := zip.NewWriter(w)
	for _, part := range xlsxParts {
		out, err := archive.Create(part.name)
		if err != nil {
			return err
		}
		if _, err := io.WriteString(out, xml.Header+part.content); err != nil {
			return err
		}
	}
	sheet, err := archive.Create("xl/worksheets/sheet1.xml")
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(sheet, 64<<10)
	fmt.Fprint(out, xml.Header, `<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>`)
	if err := writeSheetRow(out, t.columns); err != nil {
		return err
	}
	for row := range t.rows() {
		if err := writeSheetRow(out, row); err != nil {
			return err
		}
	}
	fmt.Fprint(out, `</sheetData></worksheet>`)
	if err := out.Flush(); err != nil {
		return err
	}
	return archive.Close()
}

func writeSheetRow(out *bufio.Writer, cells []string) error {
	out.WriteString("<row>")
	for _, cell := range cells {
		out.WriteString(`<c t="inlineStr"><is><t xml:space="preserve">`)
		if err := xml.EscapeText(out, []byte(cell)); err != nil {
			return err
		}
		out.WriteString("</t></is></c>")
	}
	_, err := out.WriteString("</row>")
	return err
}
