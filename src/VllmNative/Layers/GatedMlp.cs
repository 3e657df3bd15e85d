using VllmNative.Tensors;

namespace VllmNative.Layers;

/// <summary>down(activation(gate(x)) * up(x)), gate and up merged.</summary>
internal sealed class GatedMlp(Linear gateUp, Linear down, ActivationFunction activation) : IDisposable
{
    internal Linear GateUp => gateUp;

    internal Linear Down => down;

    /// <summary>delta = mlp(x); gateUpBuffer and activated are scratch.</summary>
    internal void Forward(in ForwardContext context, Tensor x, Tensor gateUpBuffer, Tensor activated, Tensor delta)
    {
        gateUp.Forward(context, x, gateUpBuffer);
        context.Device.GatedActivation(activation, gateUpBuffer, activated);
        down.Forward(context, activated, delta);
    }

    public void Dispose()
    {
        gateUp.Dispose();
        down.Dispose();
    }
}
