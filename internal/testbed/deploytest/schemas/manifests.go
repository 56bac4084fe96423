package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	yamlutil "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// object is one of Kubernetes, of any kind.
type object interface {
	runtime.Object
	metav1.Object
}

// decoder knows the kinds that we use, and refuses fields that they do not have
// and fields that are there twice.
var decoder = func() runtime.Decoder {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		corev1.AddToScheme, appsv1.AddToScheme, batchv1.AddToScheme, policyv1.AddToScheme, networkingv1.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			panic(err) // they do not contradict each other
		}
	}
	return serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
}()

// readManifests returns the objects that kubectl apply --kustomize sends of a
// folder, and those of the folder's files that are applied by themselves.
func readManifests(dir string) ([]object, error) {
	var kustomization types.Kustomization
	content, err := os.ReadFile(filepath.Join(dir, "kustomization.yaml"))
	if err != nil {
		return nil, err
	}
	if err := yaml.UnmarshalStrict(content, &kustomization); err != nil {
		return nil, fmt.Errorf("kustomization.yaml: %w", err)
	}
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		return nil, err
	}
	rendered, err := built.AsYaml()
	if err != nil {
		return nil, err
	}
	objects, problem := decode("the kustomization", rendered)
	problems := []error{problem}

	files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil {
		return nil, err
	}
	for _, path := range files {
		name := filepath.Base(path)
		if name == "kustomization.yaml" {
			continue
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		// Of a part of the kustomization too: building it forgives fields that are
		// there twice.
		those, err := decode(name, content)
		problems = append(problems, err)
		if !slices.Contains(kustomization.Resources, name) {
			objects = append(objects, those...)
		}
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return objects, check(objects)
}

func decode(name string, content []byte) (objects []object, err error) {
	documents := yamlutil.NewDocumentDecoder(io.NopCloser(bytes.NewReader(content)))
	defer func() { err = errors.Join(err, documents.Close()) }()
	buffer := make([]byte, len(content)+1)
	for {
		n, err := documents.Read(buffer)
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		decoded, _, err := decoder.Decode(buffer[:n], nil, nil)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		objects = append(objects, decoded.(object))
	}
}
