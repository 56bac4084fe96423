package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
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

// object is a Kubernetes object of any kind.
type object interface {
	runtime.Object
	metav1.Object
}

// decoder knows the kinds that we use, and rejects unknown and duplicate fields.
var decoder = func() runtime.Decoder {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		corev1.AddToScheme, appsv1.AddToScheme, batchv1.AddToScheme, policyv1.AddToScheme, networkingv1.AddToScheme,
		autoscalingv2.AddToScheme, monitoringv1.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			panic(err) // never: the kinds do not conflict
		}
	}
	return serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
}()

// readManifests returns the objects that kubectl apply --kustomize sends for a folder with all
// its components, and those of the folder's files that are applied separately. It checks them
// with and without the components.
func readManifests(dir string) (objects []object, err error) {
	files := os.DirFS(dir)
	components, err := fs.Glob(files, "components/*")
	if err != nil {
		return nil, err
	}
	var resources []string
	for _, folder := range append([]string{"."}, components...) {
		kustomization, err := readKustomization(files, path.Join(folder, "kustomization.yaml"))
		if err != nil {
			return nil, err
		}
		for _, resource := range kustomization.Resources {
			resources = append(resources, path.Join(folder, resource))
		}
	}
	alone, problem := readFiles(files, resources)
	problems := []error{problem}
	for _, chosen := range [][]string{nil, components} {
		built, err := build(files, chosen)
		if err != nil {
			return nil, errors.Join(append(problems, err)...)
		}
		objects = append(built, alone...)
		problems = append(problems, check(objects))
	}
	return objects, errors.Join(problems...)
}

func readKustomization(files fs.FS, name string) (kustomization types.Kustomization, err error) {
	content, err := fs.ReadFile(files, name)
	if err != nil {
		return kustomization, err
	}
	if err := yaml.UnmarshalStrict(content, &kustomization); err != nil {
		return kustomization, fmt.Errorf("%s: %w", name, err)
	}
	return kustomization, nil
}

// readFiles returns the objects of the files that are no resource of a kustomization. It reads
// the others too: building the kustomization forgives fields that are there twice.
func readFiles(files fs.FS, resources []string) (alone []object, err error) {
	var problems []error
	for _, pattern := range []string{"*.yaml", "components/*/*.yaml"} {
		names, err := fs.Glob(files, pattern)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			if path.Base(name) == "kustomization.yaml" {
				continue
			}
			content, err := fs.ReadFile(files, name)
			if err != nil {
				return nil, err
			}
			those, err := decode(name, content)
			problems = append(problems, err)
			if !slices.Contains(resources, name) {
				alone = append(alone, those...)
			}
		}
	}
	return alone, errors.Join(problems...)
}

// build returns the objects of the kustomization with these components.
func build(files fs.FS, components []string) ([]object, error) {
	const folder = "/kubernetes"
	inMemory := filesys.MakeFsInMemory()
	err := fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		if name == "kustomization.yaml" {
			content = fmt.Appendf(content, "\ncomponents: [%s]\n", strings.Join(components, ", "))
		}
		return inMemory.WriteFile(path.Join(folder, name), content)
	})
	if err != nil {
		return nil, err
	}
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(inMemory, folder)
	if err != nil {
		return nil, err
	}
	rendered, err := built.AsYaml()
	if err != nil {
		return nil, err
	}
	return decode("the kustomization", rendered)
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
