package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	podsecurity "k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

// workload is an object that makes pods.
type workload struct {
	name     string
	selector *metav1.LabelSelector // nil for a Job, which sets its own
	replicas int32
	template corev1.PodTemplateSpec
	claims   []corev1.PersistentVolumeClaim
}

// checker collects problems of objects that are well-formed by themselves: dangling
// references, and pods that the Pod Security Standard "restricted" does not admit.
type checker struct {
	objects   []object
	workloads []workload
	problems  []error
}

// check returns all problems.
func check(objects []object) error {
	c := &checker{objects: objects}
	for _, each := range objects {
		c.checkMetadata(each)
		switch o := each.(type) {
		case *appsv1.Deployment:
			c.workloads = append(c.workloads, workload{o.Name, o.Spec.Selector, c.replicas("Deployment", o.Name, o.Spec.Replicas), o.Spec.Template, nil})
		case *appsv1.StatefulSet:
			c.workloads = append(c.workloads, workload{o.Name, o.Spec.Selector, c.replicas("StatefulSet", o.Name, o.Spec.Replicas), o.Spec.Template, o.Spec.VolumeClaimTemplates})
		case *batchv1.Job:
			c.workloads = append(c.workloads, workload{o.Name, nil, 1, o.Spec.Template, nil})
		}
	}
	for _, each := range c.workloads {
		c.checkWorkload(each)
	}
	for _, each := range objects {
		switch o := each.(type) {
		case *corev1.Service:
			c.checkService(o)
		case *appsv1.StatefulSet:
			if service := find[*corev1.Service](c, o.Spec.ServiceName); service == nil || service.Spec.ClusterIP != corev1.ClusterIPNone {
				c.problem("%s: serviceName %s is not a headless Service", o.Name, o.Spec.ServiceName)
			}
		case *policyv1.PodDisruptionBudget:
			c.checkDisruptionBudget(o)
		case *networkingv1.Ingress:
			c.checkIngress(o)
		case *networkingv1.NetworkPolicy:
			c.checkNetworkPolicy(o)
		case *monitoringv1.PodMonitor:
			c.checkPodMonitor(o)
		case *autoscalingv2.HorizontalPodAutoscaler:
			c.checkAutoscaler(o)
		}
	}
	return errors.Join(c.problems...)
}

// replicas returns the minimum number of pods of a workload: what an autoscaler keeps, or its own
// field, which may be left out.
func (c *checker) replicas(kind, name string, field *int32) int32 {
	for _, each := range c.objects {
		scaler, ok := each.(*autoscalingv2.HorizontalPodAutoscaler)
		if !ok || scaler.Spec.ScaleTargetRef.Kind != kind || scaler.Spec.ScaleTargetRef.Name != name {
			continue
		}
		if field != nil {
			c.problem("%s: both the manifest and HorizontalPodAutoscaler %s set its replicas", name, scaler.Name)
		}
		field = scaler.Spec.MinReplicas
	}
	if field == nil {
		return 1
	}
	return *field
}

func (c *checker) problem(format string, args ...any) {
	c.problems = append(c.problems, fmt.Errorf(format, args...))
}

// find returns the object of that kind and name, or nil.
func find[T object](c *checker, name string) (found T) {
	for _, each := range c.objects {
		if o, ok := each.(T); ok && o.GetName() == name {
			return o
		}
	}
	return found
}

func (c *checker) checkMetadata(o object) {
	for _, problem := range validation.IsDNS1035Label(o.GetName()) {
		c.problem("%T %s: %s", o, o.GetName(), problem)
	}
	namespace := o.GetNamespace()
	if own, ok := o.(*corev1.Namespace); ok {
		namespace = own.Name
	}
	if namespace == "" || find[*corev1.Namespace](c, namespace) == nil {
		c.problem("%T %s is in namespace %q, which is none of these objects", o, o.GetName(), namespace)
	}
	for name, value := range o.GetLabels() {
		for _, problem := range append(validation.IsQualifiedName(name), validation.IsValidLabelValue(value)...) {
			c.problem("%s: label %s: %s", o.GetName(), name, problem)
		}
	}
}

// selects reports whether the selector matches this workload's pods.
func (c *checker) selects(of string, selector *metav1.LabelSelector, w workload) bool {
	parsed, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		c.problem("%s: %w", of, err)
		return false
	}
	return !parsed.Empty() && parsed.Matches(labels.Set(w.template.Labels))
}

func (c *checker) checkWorkload(w workload) {
	spec := w.template.Spec
	if w.selector != nil {
		for _, other := range c.workloads {
			if c.selects(w.name, w.selector, other) != (w.name == other.name) {
				c.problem("%s: its selector must match its own pods only", w.name)
			}
		}
	}
	for _, spread := range spec.TopologySpreadConstraints {
		if !c.selects(w.name, spread.LabelSelector, w) {
			c.problem("%s: topologySpreadConstraints do not match its own pods", w.name)
		}
	}
	volumes := map[string]bool{}
	for _, volume := range spec.Volumes {
		volumes[volume.Name] = false
	}
	for _, claim := range w.claims {
		volumes[claim.Name] = false
	}
	for _, container := range slices.Concat(spec.InitContainers, spec.Containers) {
		c.checkContainer(w.name+", "+container.Name, container, volumes)
	}
	for volume, mounted := range volumes {
		if !mounted {
			c.problem("%s: volume %s is not mounted", w.name, volume)
		}
	}
	if port, asked := w.template.Annotations["prometheus.io/port"]; asked {
		number, err := strconv.Atoi(port)
		if err != nil || !hasPort(spec.Containers, intstr.FromInt(number)) {
			c.problem("%s: prometheus.io/port is %q, which no container has", w.name, port)
		}
	}
	c.checkSecurity(w)
}

func (c *checker) checkContainer(name string, container corev1.Container, volumes map[string]bool) {
	for _, mount := range container.VolumeMounts {
		if _, exists := volumes[mount.Name]; !exists {
			c.problem("%s: there is no volume %s", name, mount.Name)
		}
		volumes[mount.Name] = true
	}
	for _, probe := range []*corev1.Probe{container.StartupProbe, container.LivenessProbe, container.ReadinessProbe} {
		if probe != nil && (probe.HTTPGet == nil || !hasPort([]corev1.Container{container}, probe.HTTPGet.Port)) {
			c.problem("%s: a probe uses a port that the container does not have", name)
		}
	}
	for _, source := range container.EnvFrom {
		if source.ConfigMapRef == nil || find[*corev1.ConfigMap](c, source.ConfigMapRef.Name) == nil {
			c.problem("%s: envFrom does not name an existing ConfigMap", name)
		}
	}
	for resource, request := range container.Resources.Requests {
		if limit, limited := container.Resources.Limits[resource]; limited && limit.Cmp(request) < 0 {
			c.problem("%s: the limit of %s is below the request", name, resource)
		}
	}
}

func hasPort(containers []corev1.Container, port intstr.IntOrString) bool {
	return slices.ContainsFunc(containers, func(container corev1.Container) bool {
		return slices.ContainsFunc(container.Ports, func(has corev1.ContainerPort) bool {
			return port.Type == intstr.String && has.Name == port.StrVal || port.Type == intstr.Int && has.ContainerPort == port.IntVal
		})
	})
}

func (c *checker) checkSecurity(w workload) {
	standard, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		c.problem("the Pod Security Standards: %w", err)
		return
	}
	level := podsecurity.LevelVersion{Level: podsecurity.LevelRestricted, Version: podsecurity.LatestVersion()}
	verdict := policy.AggregateCheckResults(standard.EvaluatePod(level, &w.template.ObjectMeta, &w.template.Spec))
	if !verdict.Allowed {
		c.problem("%s: the Pod Security Standard restricted does not admit it: %s", w.name, verdict.ForbiddenDetail())
	}
}

func (c *checker) checkService(service *corev1.Service) {
	found := false
	for _, w := range c.workloads {
		if !c.selects(service.Name, metav1.SetAsLabelSelector(service.Spec.Selector), w) {
			continue
		}
		found = true
		for _, port := range service.Spec.Ports {
			if !hasPort(w.template.Spec.Containers, port.TargetPort) {
				c.problem("Service %s: the pods of %s do not have its port %s", service.Name, w.name, port.Name)
			}
		}
	}
	if !found {
		c.problem("Service %s selects no pods", service.Name)
	}
}

func (c *checker) checkDisruptionBudget(budget *policyv1.PodDisruptionBudget) {
	found := 0
	for _, w := range c.workloads {
		if !c.selects(budget.Name, budget.Spec.Selector, w) {
			continue
		}
		found++
		if most := budget.Spec.MaxUnavailable; most == nil || most.Type != intstr.Int || most.IntVal < 1 || most.IntVal >= w.replicas {
			c.problem("PodDisruptionBudget %s: want maxUnavailable from 1 to less than the %d replicas", budget.Name, w.replicas)
		}
	}
	if found != 1 {
		c.problem("PodDisruptionBudget %s matches the pods of %d workloads, not of one", budget.Name, found)
	}
}

func (c *checker) checkIngress(ingress *networkingv1.Ingress) {
	for _, rule := range ingress.Spec.Rules {
		for _, path := range rule.HTTP.Paths {
			backend := path.Backend.Service
			service := find[*corev1.Service](c, backend.Name)
			if service == nil || !slices.ContainsFunc(service.Spec.Ports, func(port corev1.ServicePort) bool { return port.Name == backend.Port.Name }) {
				c.problem("Ingress %s: there is no Service %s with port %s", ingress.Name, backend.Name, backend.Port.Name)
			}
		}
	}
}

// selectedBy returns the one workload that a selector is of, with a problem if it is not one.
func (c *checker) selectedBy(of string, selector *metav1.LabelSelector) (selected []workload) {
	for _, w := range c.workloads {
		if c.selects(of, selector, w) {
			selected = append(selected, w)
		}
	}
	if len(selected) != 1 {
		c.problem("%s selects the pods of %d workloads, not of one", of, len(selected))
	}
	return selected
}

func (c *checker) checkNetworkPolicy(networks *networkingv1.NetworkPolicy) {
	for _, w := range c.selectedBy("NetworkPolicy "+networks.Name, &networks.Spec.PodSelector) {
		for _, rule := range networks.Spec.Ingress {
			for _, port := range rule.Ports {
				if port.Port == nil || !hasPort(w.template.Spec.Containers, *port.Port) {
					c.problem("NetworkPolicy %s: the pods of %s do not have its port %s", networks.Name, w.name, port.Port)
				}
			}
		}
	}
}

func (c *checker) checkPodMonitor(monitor *monitoringv1.PodMonitor) {
	for _, w := range c.selectedBy("PodMonitor "+monitor.Name, &monitor.Spec.Selector) {
		for _, endpoint := range monitor.Spec.PodMetricsEndpoints {
			if endpoint.Port == nil || !hasPort(w.template.Spec.Containers, intstr.FromString(*endpoint.Port)) {
				c.problem("PodMonitor %s: the pods of %s do not have its port", monitor.Name, w.name)
			}
		}
	}
}

func (c *checker) checkAutoscaler(scaler *autoscalingv2.HorizontalPodAutoscaler) {
	target := scaler.Spec.ScaleTargetRef
	if target.APIVersion != "apps/v1" || target.Kind != "Deployment" || find[*appsv1.Deployment](c, target.Name) == nil {
		c.problem("HorizontalPodAutoscaler %s: there is no %s %s of %s", scaler.Name, target.Kind, target.Name, target.APIVersion)
	}
	if least := scaler.Spec.MinReplicas; least == nil || *least >= scaler.Spec.MaxReplicas {
		c.problem("HorizontalPodAutoscaler %s: want minReplicas less than maxReplicas", scaler.Name)
	}
}
