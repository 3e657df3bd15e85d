using System.Runtime.InteropServices;
using VllmNative.Steps;
using VllmNative.Tensors;

namespace VllmNative.Execution;

/// <summary>Brings hidden states to the host for requests that pool them. Each slot has host memory of its own, made when somebody first asks.</summary>
internal sealed unsafe class HiddenReadback : IDisposable
{
    private readonly Device _device;
    private readonly DataType _type;
    private readonly DeviceBuffer?[] _host;
    private readonly float[] _row;

    /// <param name="device">Where they are computed.</param>
    /// <param name="type">Their element type.</param>
    /// <param name="hidden">Elements of each.</param>
    /// <param name="slots">Steps in flight.</param>
    internal HiddenReadback(Device device, DataType type, int hidden, int slots)
    {
        _device = device;
        _type = type;
        _host = new DeviceBuffer?[slots];
        _row = new float[hidden];
    }

    private int RowBytes => _row.Length * _type.Size();

    /// <summary>Starts the copies of what the plan pools of the step's hidden states [tokens, hidden].</summary>
    internal void Start(StepPlan plan, int slot, Tensor hidden)
    {
        int rows = 0;
        foreach (ref readonly HiddenRows wanted in plan.HiddenRows.Span)
        {
            rows += wanted.Count;
        }

        if (rows == 0)
        {
            return;
        }

        nint to = HostFor(slot, (long)rows * RowBytes).Data;
        foreach (ref readonly HiddenRows wanted in plan.HiddenRows.Span)
        {
            long bytes = (long)wanted.Count * RowBytes;
            _device.CopyToHost(to, hidden.At(wanted.FirstToken).Data, bytes);
            to += (nint)bytes;
        }
    }

    /// <summary>Hands what has arrived to the requests.</summary>
    internal void Report(StepPlan plan, int slot)
    {
        if (plan.HiddenRows.Count == 0)
        {
            return;
        }

        nint from = _host[slot]!.Data;
        foreach (ref readonly HiddenRows wanted in plan.HiddenRows.Span)
        {
            for (int i = 0; i < wanted.Count; i++)
            {
                Widen(from);
                wanted.Target.Add(wanted.Position + i, _row);
                from += RowBytes;
            }
        }
    }

    public void Dispose()
    {
        foreach (DeviceBuffer? host in _host)
        {
            host?.Dispose();
        }
    }

    private void Widen(nint from)
    {
        switch (_type)
        {
            case DataType.Float32:
                new ReadOnlySpan<float>((void*)from, _row.Length).CopyTo(_row);
                break;
            case DataType.BFloat16:
                Span<uint> bits = MemoryMarshal.Cast<float, uint>(_row.AsSpan());
                for (int i = 0; i < bits.Length; i++)
                {
                    bits[i] = (uint)((ushort*)from)[i] << 16;
                }

                break;
            default:
                for (int i = 0; i < _row.Length; i++)
                {
                    _row[i] = (float)((Half*)from)[i];
                }

                break;
        }
    }

    // A slot's step before has ended: nobody copies to its memory any more.
    private DeviceBuffer HostFor(int slot, long bytes)
    {
        if (_host[slot] is not { } host || host.Bytes < bytes)
        {
            _host[slot]?.Dispose();
            _host[slot] = null;
            _host[slot] = host = _device.AllocateHost(bytes);
        }

        return host;
    }
}
