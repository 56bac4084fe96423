package activities

import (
	"context"
	"fmt"
)

// RemoveFileInput names a file of the spool.
type RemoveFileInput struct {
	File string `json:"file"`
}

// RemoveFile removes the file and its partial downloads from the spool. A missing file is
// not an error.
func (a *Activities) RemoveFile(ctx context.Context, in RemoveFileInput) error {
	if err := a.Spool.remove(in.File); err != nil {
		return classify(ctx, fmt.Errorf("removing the spool file: %w", err))
	}
	return nil
}
