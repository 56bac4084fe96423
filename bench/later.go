package main

import "context"

func measureDownload(ctx context.Context, s *stage, r *result) error { return nil }
func measureResume(ctx context.Context, s *stage, r *result) error   { return nil }
