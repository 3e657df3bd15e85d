using System.Runtime.CompilerServices;

// Every type that crosses the boundary is blittable; anything else fails to compile instead of costing a conversion.
[assembly: DisableRuntimeMarshalling]
